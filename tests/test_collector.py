"""Playing and recording episodes of several tasks."""

import numpy as np

from planet_tf.control.collector import Collector
from planet_tf.control.episodes import RandomActions
from planet_tf.tools.replay import Replay
from tests.fakes import SeededWorld


class Direct:
    """A world behind the interface of a worker, in this process."""

    def __init__(self, world):
        self._world = world
        self.spec = world.spec

    def reset(self, seed):
        observation = self._world.reset(seed)
        return lambda: observation

    def step(self, action):
        result = self._world.step(action)
        return lambda: result


def _collector(directory, name="train", seed=0):
    workers = {
        "cup_catch": Direct(SeededWorld(6, action_dim=2)),
        "cheetah_run": Direct(SeededWorld(6, action_dim=3)),
    }
    replay = Replay(directory)
    return Collector(name, workers, replay, seed), replay


def test_every_task_is_played_and_recorded(tmp_path):
    """Actions are as wide as the widest task's in every episode."""
    collector, replay = _collector(tmp_path)
    assert collector.missing(2) == 2
    played = collector.play(RandomActions(3))
    assert set(played) == {"cup_catch", "cheetah_run"}
    assert played["cup_catch"]["action"].shape == (7, 3)
    assert replay.count("cup_catch") == replay.count("cheetah_run") == 1
    assert collector.missing(2) == 1


def test_an_episode_follows_from_its_number(tmp_path):
    """A resumed run plays the episodes that it would have played."""

    def rewards(directory, rounds, **options):
        collector, _ = _collector(directory, **options)
        return [
            collector.play(RandomActions(3))["cup_catch"]["reward"]
            for _ in range(rounds)
        ]

    whole = rewards(tmp_path / "whole", 3)
    first = rewards(tmp_path / "parts", 1)
    rest = rewards(tmp_path / "parts", 2)
    np.testing.assert_array_equal(whole, first + rest)
    assert np.abs(whole[0] - whole[1]).max() > 0
    test = rewards(tmp_path / "test", 1, name="test")
    assert np.abs(whole[0] - test[0]).max() > 0
    other = rewards(tmp_path / "other", 1, seed=1)
    assert np.abs(whole[0] - other[0]).max() > 0
