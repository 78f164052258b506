import numpy as np
import pytest

from planet_tf.control.wrappers import ActionRepeat
from tests.fakes import FrameIndexWorld

ACTION = np.zeros(2)


class EndsEarly(FrameIndexWorld):
    """Is over after two decisions, whatever the length of its episodes."""

    def step(self, action):
        observation, reward, _ = super().step(action)
        return observation, reward, len(self.actions) == 2


def play(world):
    """Pixel, reward and `done` of an episode's rows after the first."""
    world.reset(7)
    rows = []
    while not rows or not rows[-1][2]:
        observation, reward, done = world.step(ACTION)
        rows.append((observation["image"].max(), reward, done))
    return rows


def test_action_repeat():
    world = ActionRepeat(FrameIndexWorld(7), 3)
    assert world.spec.episode_length == 2
    assert play(world) == [(3, 1 + 2 + 3, False), (6, 4 + 5 + 6, True)]
    with pytest.raises(RuntimeError, match="call reset first"):
        world.step(ACTION)
    assert len(play(world)) == 2, "a second episode"


def test_action_repeat_stops_where_the_world_ends():
    world = ActionRepeat(EndsEarly(4), 3)
    assert play(world) == [(2, 1 + 2, True)]


@pytest.mark.parametrize("repeat", [0, 11])
def test_impossible_action_repeat(repeat):
    with pytest.raises(ValueError, match=r"must be in \[1, 10\]"):
        ActionRepeat(FrameIndexWorld(10), repeat)
