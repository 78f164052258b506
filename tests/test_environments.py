import functools
import importlib.util
import multiprocessing
import sys
import types
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from planet_tf.control import rendering
from planet_tf.control.check_env import check_env
from planet_tf.control.environments import DeepMindControl, make_environment
from planet_tf.control.tasks import TASKS, Task, get_task
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


def play(name, seeds=(0,), decisions=3, **kwargs):
    """Plays the start of one episode for each seed, with random actions."""
    world = make_environment(name, **kwargs)
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
            functools.partial(play, size=(32, 48), camera=camera, decisions=0),
            "cheetah_run",
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


# The rest runs on a fake suite, in this process: no graphics are loaded.


class FakeSuite:
    """A dm_control suite of one task; counts frames in its rewards."""

    def __init__(self, low=-1.0, high=1.0, frames=1000):
        self.low, self.high, self.frames = low, high, frames
        self.actions = []
        self.value = 0.0  # the observation
        self.reward = 1.0
        self.task = types.SimpleNamespace(random=np.random.RandomState(0))
        visual = types.SimpleNamespace(
            global_=types.SimpleNamespace(), quality=types.SimpleNamespace()
        )
        self.physics = types.SimpleNamespace(
            model=types.SimpleNamespace(vis=visual, ncam=2)
        )

    def load(self, domain, task):
        return self

    def action_spec(self):
        return types.SimpleNamespace(
            shape=(2,),
            minimum=np.array([self.low] * 2),
            maximum=np.array([self.high] * 2),
        )

    def observation_spec(self):
        return {"value": np.zeros([])}

    def reset(self):
        self.actions = []
        return types.SimpleNamespace(observation={"value": self.value})

    def step(self, action):
        self.actions.append(action)
        return types.SimpleNamespace(
            observation={"value": self.value},
            reward=self.reward,
            last=lambda: len(self.actions) == self.frames,
        )


class FakeCamera:
    """Sees black."""

    def __init__(self, physics, height, width, camera_id):
        self.image = np.zeros([height, width, 3], np.uint8)

    def render(self):
        return self.image


def test_camera_that_is_not_there_is_refused(fake):
    """Before a run's folder holds its number."""
    fake(1)
    with pytest.raises(ValueError, match="camera 99: .* -1 .free. to 1"):
        DeepMindControl(Task("domain", "task", 1), camera=99)


@pytest.fixture
def fake(monkeypatch):
    """Makes a world on a FakeSuite and resets it; returns both."""

    def make(action_repeat=4, **kwargs):
        suite = FakeSuite(**kwargs)
        monkeypatch.setenv("MUJOCO_GL", "egl")
        mujoco = types.SimpleNamespace(Camera=FakeCamera)
        module = types.SimpleNamespace(suite=suite, mujoco=mujoco)
        monkeypatch.setitem(sys.modules, "dm_control", module)
        world = DeepMindControl(Task("domain", "task", action_repeat))
        world.reset(0)
        return world, suite

    return make


def test_reward_is_the_sum_over_the_repeats(fake):
    world, suite = fake()
    assert world.step([0, 0])[1] == 4.0
    assert len(suite.actions) == 4


def test_repeat_stops_at_the_simulators_end(fake):
    """Else dm_control would start another episode by itself."""
    world, suite = fake(frames=6)
    assert world.step([0, 0])[1:] == (4.0, False)
    assert world.step([0, 0])[1:] == (2.0, True)
    assert len(suite.actions) == 6
    with pytest.raises(RuntimeError, match="call reset first"):
        world.step([0, 0])


def test_actions_arrive_unchanged(fake):
    world, suite = fake()
    action = np.array([0.1, -1], np.float32)
    world.step(action)
    np.testing.assert_array_equal(suite.actions[0], action)


def test_actions_are_spread_over_other_bounds(fake):
    world, suite = fake(low=-0.8, high=1.2)
    world.step([-1, 0.5])
    np.testing.assert_allclose(suite.actions[0], [-0.8, 0.7])


@pytest.mark.parametrize(
    "action", [[0], [[0, 0]], [0, np.nan], [0, np.inf], [0, 1.01]]
)
def test_bad_actions(fake, action):
    world, suite = fake()
    with pytest.raises(ValueError):
        world.step(action)
    assert not suite.actions


def test_rounding_is_forgiven(fake):
    world, suite = fake()
    world.step([1 + 1e-7, -1 - 1e-7])
    np.testing.assert_array_equal(suite.actions[0], [1, -1])


@pytest.mark.parametrize("name", ["value", "reward"])
def test_nothing_infinite_reaches_the_replay(fake, name):
    world, suite = fake()
    setattr(suite, name, np.nan)
    with pytest.raises(FloatingPointError, match=name):
        world.step([0, 0])


def test_bad_arguments(fake):
    with pytest.raises(ValueError, match="action_repeat"):
        fake(action_repeat=0)
    with pytest.raises(ValueError, match="render_quality"):
        DeepMindControl(TASKS["cup_catch"], render_quality="slow")


def test_versions_that_do_not_fit(fake, monkeypatch):
    """The message must name the pair to install, not an obscure attribute."""

    def load(*args, **kwargs):
        raise AttributeError("'MjModel' object has no attribute 'flex_v'")

    monkeypatch.setattr(FakeSuite, "load", load)
    with pytest.raises(RuntimeError, match="pip install dm_control==") as error:
        fake()
    assert "flex_v" in str(error.value)
