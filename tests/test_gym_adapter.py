import dataclasses
import functools
import importlib.util
import os
import pathlib
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from planet_tf.control import gym_adapter
from planet_tf.control.make import make_environment
from planet_tf.control.workers import Worker
from planet_tf.training import trainer
from tests import runs

pytest.importorskip("gymnasium")
FAKE = "gym:tests.fake_gym:Fake{}-v0"

eager = pytest.fixture(runs.eager)


@pytest.fixture
def make():
    """Makes the world of a fake environment, and returns both."""

    def make(name="Counter", **kwargs):
        world = make_environment(FAKE.format(name), **kwargs)
        return world, world._env.unwrapped

    return make


def play(world):
    """Rewards and `done` of an episode."""
    world.reset(0)
    results = []
    while not results or not results[-1][1]:
        results.append(world.step(np.zeros(2))[1:])
    return results


def test_actions_are_spread_over_the_bounds(make):
    world, env = make()
    world.reset(0)
    for action in ([-1, -1], [1, 1], [0, 0.5]):
        world.step(np.array(action, np.float32))
    np.testing.assert_allclose(env.actions, [[-1, 0], [3, 0.5], [1, 0.375]])
    assert env.actions[0].dtype == np.float32


def test_rewards_are_summed_over_the_repeat(make):
    """Each repeat gets the action, whatever the environment does to it."""
    world, env = make(action_repeat=3)
    world.reset(0)
    assert world.step(np.ones(2))[1:] == (1 + 2 + 3, False)
    np.testing.assert_array_equal(env.actions, [[3, 0.5]] * 3)
    assert env.rendered == 2, "only what is seen is drawn"


def test_episode_is_truncated_at_its_limit(make):
    world, _ = make()
    assert world.spec.episode_length == 10
    assert [done for _, done in play(world)] == [False] * 9 + [True]
    with pytest.raises(RuntimeError, match="call reset first"):
        world.step(np.zeros(2))


def test_limit_between_two_decisions(make):
    """Ten steps are three decisions of three; the tenth is not taken."""
    world, env = make(action_repeat=3)
    assert world.spec.episode_length == 3
    assert len(play(world)) == 3
    assert env.time == 9


def test_episode_is_terminated(make):
    world, env = make("Short", action_repeat=2)
    assert play(world) == [(1 + 2, False), (3, True)]
    assert env.time == 3
    assert play(world) == [(1 + 2, False), (3, True)], "not after a reset"


def test_endless_episode_ends(make):
    world, env = make("Endless", action_repeat=200)
    assert world.spec.episode_length == 5
    assert len(play(world)) == 5 and env.time == 1000


@pytest.mark.parametrize("name, terminated", [("Short", 1), ("Counter", 0)])
def test_cut_off_is_not_terminated(make, name, terminated):
    world, _ = make(name)
    assert world.reset(0)["terminated"] == 0
    done = False
    while not done:
        observation, _, done = world.step(np.zeros(2))
    assert observation["terminated"] == terminated


def test_frame_is_scaled_by_areas(make):
    world, _ = make()
    observation = world.reset(0)
    image = observation["image"]
    assert world.spec.observations == {
        "image": (64, 64, 3),
        "state": (2,),
        "terminated": (),
    }
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    expected = np.zeros([64, 64, 3])
    expected[32:, 32:] = 255
    np.testing.assert_array_equal(image, expected)
    name = FAKE.format("Counter").removeprefix("gym:")
    other = gym_adapter.GymEnvironment(name, size=(3, 4))
    odd = other.reset(0)["image"]
    assert odd.shape == (3, 4, 3)
    # The middle third of the height is half black, half white.
    np.testing.assert_allclose(odd[:, 3, 0], [0, 127.5, 255], atol=1)


def test_picture_in_the_observation(make):
    """Then nothing is rendered, as for the original's car racing."""
    world, _ = make("SeesPictures")
    shapes = {"image": (64, 64, 3), "speed": (), "terminated": ()}
    assert world.spec.observations == shapes
    world.reset(0)
    observation, _, _ = world.step(np.zeros(2))
    assert np.all(observation["image"] == 0)
    assert set(observation) == set(shapes)
    assert observation["speed"] == np.float32(0.5)
    assert np.all(world.step(np.zeros(2))[0]["image"] == 1)


def test_seed_determines_the_start(make):
    world, _ = make()
    starts = [world.reset(seed)["state"][1] for seed in (1, 2, 1)]
    assert starts[0] == starts[2] != starts[1]


def test_nothing_infinite_reaches_the_replay(make):
    world, env = make()
    world.reset(0)
    env.reward = np.nan
    with pytest.raises(FloatingPointError, match="reward"):
        world.step(np.zeros(2))
    env.reward, env.start = 0, np.inf
    with pytest.raises(FloatingPointError, match="state"):
        world.step(np.zeros(2))


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("Unbounded", {}, "without bounds"),
        ("Buttons", {}, "needs continuous"),
        ("Missing", {}, "There is no gym:tests.fake_gym:FakeMissing"),
        ("Counter", {"action_repeat": 11}, r"action_repeat must be in \[1, 10"),
    ],
)
def test_what_cannot_be_used_is_refused(make, name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(name, **kwargs)


def test_nothing_drawn(make):
    world, _ = make("Blind")
    with pytest.raises(TypeError, match="render.. returned a NoneType"):
        world.reset(0)


@pytest.mark.parametrize("action", [[0], [0, np.nan], [0, 1.01]])
def test_bad_actions(make, action):
    world, env = make()
    world.reset(0)
    with pytest.raises(ValueError):
        world.step(action)
    assert not env.actions


def test_in_a_worker():
    constructor = functools.partial(make_environment, FAKE.format("Counter"))
    with Worker(constructor) as worker:
        assert worker.spec.episode_length == 10
        assert worker.reset(0)()["image"].shape == (64, 64, 3)
        assert worker.step(np.zeros(2))()[1:] == (1.0, False)


def test_what_to_install_is_what_is_tested():
    """The version stands in three places."""
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
    (extra,) = project["project"]["optional-dependencies"]["gym"]
    assert gym_adapter._INSTALL == f"pip install '{extra}'"
    tested = pathlib.Path("requirements.txt").read_text()
    assert extra.replace("[mujoco,box2d]", "") in tested.splitlines()


def test_without_gymnasium():
    """One line that says what to install, before anything is written."""
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "from scripts import check_env\n"
        "sys.exit(check_env.main(['gym:CarRacing-v3']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "pip install 'gymnasium[mujoco,box2d]==" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(
    not importlib.util.find_spec("imageio"), reason="needs gymnasium[mujoco]"
)
def test_camera_follows_the_cheetah():
    """In a process of its own, because it renders."""
    code = (
        "from planet_tf.control.make import make_environment as make\n"
        "world = make('gym:HalfCheetah-v5', 'fast')\n"
        "one = world.reset(0)['image'].astype(int)\n"
        "world._env.unwrapped.data.qpos[0] += 100\n"
        "for _ in range(2): far = world.step([0] * 6)[0]['image']\n"
        "body = far[..., 0].astype(int) - far[..., 2]\n"
        "assert (body > 60).sum() > 20, 'the cheetah is out of sight'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_trains(tmp_path, eager):
    """From seed episodes to the end, its actions mapped and frames resized."""
    config = dataclasses.replace(
        runs.FOUR_UPDATES, tasks=(FAKE.format("Counter"),)
    )
    trainer.train(config, tmp_path)
    paths = sorted((tmp_path / "train_episodes").glob("*.npz"))
    assert len(paths) == 4
    for path in paths:
        with np.load(path) as episode:
            np.testing.assert_array_equal(episode["reward"], np.arange(11))
            assert episode["image"].shape == (11, 64, 64, 3)
