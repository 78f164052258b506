"""On a fake suite, in this process: no graphics are loaded."""

import sys
import types

import numpy as np
import pytest

from planet_tf.control.dm_control_adapter import DeepMindControl
from planet_tf.control.tasks import TASKS, Task


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
