"""Playing and recording episodes of several tasks."""

import numpy as np

from planet_tf.control.episode_source import EpisodeSource
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


def _source(directory, name="train", seed=0, worlds=1):
    workers = {
        "cup_catch": [Direct(SeededWorld(6, 2)) for _ in range(worlds)],
        "cheetah_run": [Direct(SeededWorld(6, 3)) for _ in range(worlds)],
    }
    replay = Replay(directory)
    return EpisodeSource(name, workers, replay, seed), replay


def test_every_task_is_played_and_recorded(tmp_path):
    """Actions are as wide as the widest task's in every episode."""
    source, replay = _source(tmp_path)
    played = source.play(RandomActions(3))
    assert replay.episodes == 0
    source.record()
    source.record()  # Nothing is left to record.
    assert set(played) == {"cup_catch", "cheetah_run"}
    assert played["cup_catch"][0]["action"].shape == (7, 3)
    assert replay.count("cup_catch") == replay.count("cheetah_run") == 1


def test_what_is_missing_is_played_and_no_more(tmp_path):
    """A task that joins a run has fewer episodes than the others."""
    source, replay = _source(tmp_path, worlds=2)
    source.play_task("cup_catch", RandomActions(3), most=1)
    source.record()
    played = []
    for task in source.missing(3):
        source.play_task(task, RandomActions(3), most=1)
        source.record()
        played.append(task)
    assert sorted(played) == 3 * ["cheetah_run"] + 2 * ["cup_catch"]
    assert replay.count("cup_catch") == replay.count("cheetah_run") == 3


def test_worlds_side_by_side_differ(tmp_path):
    """One seed for all would collect the same episode several times."""
    source, replay = _source(tmp_path, worlds=3)
    played = source.play_task("cup_catch", RandomActions(3))
    source.record()
    images = [episode["image"] for episode in played]
    assert len(images) == replay.count("cup_catch") == 3
    assert all(np.any(images[i] != images[i - 1]) for i in range(3))
    # The same worlds as when they are played one after another.
    alone, _ = _source(tmp_path / "alone")
    for image in images:
        (episode,) = alone.play_task("cup_catch", RandomActions(3))
        np.testing.assert_array_equal(episode["image"], image)


def test_an_episode_follows_from_its_number(tmp_path):
    """A resumed run plays the episodes that it would have played."""

    def rewards(directory, rounds, record=True, **options):
        source, _ = _source(directory, **options)
        found = []
        for _ in range(rounds):
            (episode,) = source.play(RandomActions(3))["cup_catch"]
            found.append(episode["reward"])
            if record:
                source.record()
        source.record()
        return found

    whole = rewards(tmp_path / "whole", 3)
    late = rewards(tmp_path / "late", 3, record=False)
    np.testing.assert_array_equal(whole, late)
    first = rewards(tmp_path / "parts", 1)
    rest = rewards(tmp_path / "parts", 2)
    np.testing.assert_array_equal(whole, first + rest)
    assert np.abs(whole[0] - whole[1]).max() > 0
    test = rewards(tmp_path / "test", 1, name="test")
    assert np.abs(whole[0] - test[0]).max() > 0
    other = rewards(tmp_path / "other", 1, seed=1)
    assert np.abs(whole[0] - other[0]).max() > 0
