"""The contract that worlds of every kind keep, with real simulators."""

import functools
import importlib.util
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from planet_tf.control import rendering
from planet_tf.control.check_env import check_env
from planet_tf.control.dm_control_adapter import DeepMindControl
from planet_tf.control.make import make_environment
from planet_tf.control.tasks import TASKS, get_task
from planet_tf.control.workers import Worker

# Action size and sizes of the observations, from the original's tasks.
EXPECTED = {
    "cartpole_balance": (1, {"position": (3,), "velocity": (2,)}),
    "cartpole_swingup": (1, {"position": (3,), "velocity": (2,)}),
    "cheetah_run": (6, {"position": (8,), "velocity": (9,)}),
    "cup_catch": (2, {"position": (4,), "velocity": (4,)}),
    "finger_spin": (2, {"position": (4,), "velocity": (3,), "touch": (2,)}),
    "reacher_easy": (
        2,
        {"position": (2,), "velocity": (2,), "to_target": (2,)},
    ),
    "walker_walk": (
        6,
        {"height": (), "orientations": (14,), "velocity": (9,)},
    ),
    "dummy": (2, {"position": (2,), "goal": (2,)}),
    "gym_cheetah": (6, {"state": (17,)}),
    "gym_racecar": (3, {}),
}

# Those that the original had, where planet_tf[gym] is installed.
GYM = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not all(map(importlib.util.find_spec, needed)),
            reason=f"needs {' and '.join(needed)}",
        ),
    )
    for name, needed in {
        "gym_cheetah": ("gymnasium", "imageio"),
        "gym_racecar": ("gymnasium", "Box2D", "pygame"),
    }.items()
]


@pytest.fixture(scope="module")
def simulator():
    """One process for all tests that render; `simulator(function, *args)`."""
    rendering.choose_backend()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *args: pool.submit(function, *args).result(120)


def play(name, seeds=(0,), decisions=3, make=make_environment, **kwargs):
    """Plays the start of one episode for each seed, with random actions."""
    world = make(name, **kwargs)
    episodes = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        steps = [(world.reset(seed), 0.0, False)]
        for _ in range(decisions):
            action = rng.uniform(-1, 1, world.spec.action_dim)
            steps.append(world.step(action))
        episodes.append(steps)
    world.close()
    return world.spec, episodes


@pytest.mark.parametrize("name", [*TASKS, "dummy", *GYM])
def test_contract(simulator, name):
    spec, (steps,) = simulator(play, name)
    action_dim, arrays = EXPECTED[name]
    repeat = get_task(name).action_repeat
    assert spec.action_dim == action_dim
    assert spec.episode_length == 1000 // repeat
    assert spec.observations == {"image": (64, 64, 3), **arrays}
    for observation, reward, done in steps:
        shapes = {key: value.shape for key, value in observation.items()}
        assert shapes == spec.observations
        assert observation["image"].dtype == np.uint8
        assert observation["image"].flags.c_contiguous
        assert observation["image"].std() > 5, "the image is blank"
        for key in arrays:
            assert observation[key].dtype == np.float32
        assert isinstance(reward, float) and not done
        if "gym" not in name:
            assert 0 <= reward <= repeat
    before, after = steps[0][0]["image"], steps[-1][0]["image"]
    assert np.any(before != after), "the image does not move"


@pytest.mark.parametrize("name", ["reacher_easy", "finger_spin", *GYM])
def test_seed_and_actions_determine_the_episode(simulator, name):
    """Whatever was played before: an interrupted run must not differ."""
    _, (first, second, again) = simulator(play, name, (7, 8, 7))
    for one, same in zip(first, again, strict=True):
        assert one[1] == same[1]
        for key in one[0]:
            np.testing.assert_array_equal(one[0][key], same[0][key])
    if name == "gym_cheetah":
        return  # Starts differ by less than a pixel.
    # Before any action, so that nothing but the seed can make a difference.
    starts = first[0][0]["image"], second[0][0]["image"]
    assert np.any(starts[0] != starts[1]), "the seed has no effect"


def test_processes_agree(simulator):
    """A resumed run is another process; this task draws its whole terrain."""
    first = simulator(play, "quadruped-escape", (3,), 1)[1]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        second = pool.submit(play, "quadruped-escape", (3,), 1).result(120)[1]
    for one, other in zip(first[0], second[0], strict=True):
        assert one[1] == other[1]
        np.testing.assert_array_equal(one[0]["image"], other[0]["image"])


def test_episode_ends(simulator):
    spec, (steps,) = simulator(
        functools.partial(play, action_repeat=300), "cup_catch"
    )
    assert spec.episode_length == 3
    assert [done for _, _, done in steps] == [False, False, False, True]


def test_simulators_own_end(simulator):
    """With a repeat of 1000 the simulator ends in the first decision."""
    _, (steps,) = simulator(
        functools.partial(play, action_repeat=1000, decisions=1), "cup_catch"
    )
    assert steps[-1][2]


def test_fast_images_are_nearly_the_originals(simulator):
    """Same states, and close but not identical pixels."""
    runs = [
        simulator(
            functools.partial(play, render_quality=quality), "walker_walk"
        )
        for quality in ("original", "fast")
    ]
    for one, other in zip(*(run[1][0] for run in runs), strict=True):
        np.testing.assert_array_equal(one[0]["height"], other[0]["height"])
        images = [step[0]["image"].astype(int) for step in (one, other)]
        assert 0 < np.mean(np.abs(images[0] - images[1])) < 4


def test_size_and_camera(simulator):
    one, other = (
        simulator(
            functools.partial(
                play,
                make=DeepMindControl,
                size=(32, 48),
                camera=camera,
                decisions=0,
            ),
            TASKS["cheetah_run"],
        )
        for camera in (0, 1)
    )
    images = [run[1][0][0][0]["image"] for run in (one, other)]
    assert images[0].shape == (32, 48, 3) == one[0].observations["image"]
    assert np.any(images[0] != images[1])


def check(name, **kwargs):
    """What `check_env` finds wrong, however busy the machine is."""
    return check_env(make_environment(name, **kwargs), slow=10)[0]


def test_check_env_finds_nothing_wrong(simulator):
    """With a real simulator, which remembers more than it should."""
    world = functools.partial(check, action_repeat=50, render_quality="fast")
    assert simulator(world, "cup_catch") == []


def test_in_a_worker(simulator):
    with Worker(functools.partial(make_environment, "cup_catch")) as worker:
        assert worker.spec.action_dim == 2
        assert worker.reset(0)()["image"].shape == (64, 64, 3)
