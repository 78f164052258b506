"""Tests of the one place that fixes time indices, and of random actions."""

import contextlib
import functools

import numpy as np
import pytest

from planet_tf.control.episodes import (
    RandomActions,
    collect,
    episode_return,
    terminated,
)
from planet_tf.control.workers import Worker
from tests.fakes import FrameIndexWorld, SeededWorld


class FakeWorker:
    """A worker without a process; notes the order of calls in `log`."""

    def __init__(self, world, log=None):
        self.world, self.spec = world, world.spec
        self._log = [] if log is None else log

    def reset(self, seed):
        return self._later(self.world.reset, seed)

    def step(self, action):
        return self._later(self.world.step, action)

    def _later(self, call, argument):
        self._log.append("send")
        result = call(argument)
        return lambda: self._log.append("wait") or result


class CountingPolicy:
    """Acts (decision, world) / 100, and checks the images it is shown."""

    def __init__(self, lengths, action_dim=2):
        self._lengths, self._action_dim = lengths, action_dim
        # Reused, as a policy may; recorded actions must be copies.
        self._actions = np.zeros([len(lengths), action_dim], np.float64)

    def reset(self, batch, seed):
        assert batch == len(self._lengths)
        self.seed = seed
        self._decision = 0

    def act(self, images):
        assert images.dtype == np.uint8
        expected = [min(self._decision, n) for n in self._lengths]
        np.testing.assert_array_equal(images[:, 0, 0, 0], expected)
        self._decision += 1
        self._actions[:, 0] = self._decision / 100
        self._actions[:, 1] = np.arange(len(self._lengths)) / 100
        return self._actions


def play(lengths, **options):
    workers = [FakeWorker(FrameIndexWorld(length)) for length in lengths]
    policy = CountingPolicy(lengths)
    seeds = range(7, 7 + len(lengths))
    return workers, policy, collect(workers, policy, seeds, **options)


def test_row_holds_the_action_that_led_to_it():
    """Off by one, the model would learn from actions not yet taken."""
    _, _, (episode,) = play([5])
    assert {k: (v.shape, v.dtype.name) for k, v in episode.items()} == {
        "image": ((6, 64, 64, 3), "uint8"),
        "action": ((6, 2), "float32"),
        "reward": ((6,), "float32"),
    }
    rows = np.arange(6)
    np.testing.assert_array_equal(
        episode["image"],
        np.broadcast_to(rows[:, None, None, None], (6, 64, 64, 3)),
    )
    np.testing.assert_allclose(episode["action"][:, 0], rows / 100)
    np.testing.assert_array_equal(episode["reward"], rows)
    assert episode_return(episode) == 15.0


def test_episodes_of_different_lengths():
    """A finished world must not be stepped, nor end the others."""
    workers, _, episodes = play([3, 6, 1])
    assert [len(e["reward"]) for e in episodes] == [4, 7, 2]
    for i, (worker, episode) in enumerate(zip(workers, episodes, strict=True)):
        assert worker.world.seed == 7 + i
        # What was recorded is what was done.
        np.testing.assert_array_equal(
            episode["action"][1:], worker.world.actions
        )
        np.testing.assert_allclose(episode["action"][1:, 1], i / 100)
        np.testing.assert_array_equal(
            episode["image"][:, 0, 0, 0], np.arange(len(episode["reward"]))
        )


def test_worlds_step_side_by_side():
    """Waiting for each before sending the next would run them in turn."""
    log = []
    workers = [FakeWorker(FrameIndexWorld(2), log) for _ in range(3)]
    collect(workers, CountingPolicy([2] * 3), [0, 1, 2])
    assert log == (["send"] * 3 + ["wait"] * 3) * 3


class BrightnessPolicy:
    """Acts on each world's own image alone."""

    def reset(self, batch, seed):
        pass

    def act(self, images):
        brightness = images.mean((1, 2, 3)) / 127.5 - 1
        return np.stack([brightness, -brightness], 1)


def test_a_batch_plays_what_each_world_would_play_alone():
    """Rows that mix, or workers that get another's action, would differ."""
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(functools.partial(SeededWorld, length)))
            for length in (3, 5, 2)
        ]
        # Twice, as a worker that ended early has to start again.
        for seeds in ([1, 2, 3], [4, 5, 6]):
            batch = collect(workers, BrightnessPolicy(), seeds)
            for worker, seed, episode in zip(
                workers, seeds, batch, strict=True
            ):
                (alone,) = collect([worker], BrightnessPolicy(), [seed])
                for key, value in alone.items():
                    np.testing.assert_array_equal(episode[key], value)


def test_worlds_with_fewer_action_dimensions():
    """Tasks learned together share actions as wide as the widest task's."""
    worlds = [FrameIndexWorld(2, action_dim=size) for size in (1, 2)]
    episodes = collect(
        [FakeWorker(world) for world in worlds], CountingPolicy([2, 2]), [0, 1]
    )
    assert [e["action"].shape for e in episodes] == [(3, 2), (3, 2)]
    np.testing.assert_array_equal(
        episodes[0]["action"][1:, :1], worlds[0].actions
    )
    np.testing.assert_array_equal(episodes[1]["action"][1:], worlds[1].actions)
    with pytest.raises(ValueError, match="2 worlds with up to 2"):
        collect(
            [FakeWorker(world) for world in worlds],
            RandomActions(action_dim=1),
            [0, 1],
        )


def test_other_observations_are_recorded():
    class World(FrameIndexWorld):
        def _observation(self):
            position = np.full([3], self._time, np.float64)
            return {**super()._observation(), "position": position}

    (episode,) = collect([FakeWorker(World(4))], CountingPolicy([4]), [0])
    assert episode["position"].dtype == np.float32
    np.testing.assert_array_equal(episode["position"][:, 2], np.arange(5))


class Ends(FrameIndexWorld):
    """Is done after `ends` decisions of its 4; its observations have `more`."""

    def __init__(self, ends, more=()):
        super().__init__(4)
        self._ends, self._more = ends, dict(more)

    def step(self, action):
        observation, reward, _ = super().step(action)
        return observation, reward, self._time == self._ends

    def _observation(self):
        return {**super()._observation(), **self._more}


@pytest.mark.parametrize(
    "world, rows, expected",
    [
        (Ends(2), 3, True),
        (Ends(4), 5, False),
        (Ends(9), 5, False),  # Cut off.
        (Ends(2, {"terminated": np.float32(0)}), 3, False),
    ],
)
def test_terminated(world, rows, expected):
    """What ends before its time, unless it says that it was cut off."""
    (episode,) = collect([FakeWorker(world)], CountingPolicy([9]), [0])
    assert len(episode["reward"]) == rows
    assert terminated(episode) == expected
    if expected:
        assert episode["terminated"].tolist() == [0, 0, 1]
        assert episode["terminated"].dtype == np.float32


def test_policy_is_seeded_by_the_first_seed_but_not_with_it():
    """The same number would give world and policy the same stream."""
    seeds = [play([2])[1].seed for _ in range(2)]
    assert seeds[0] == seeds[1] != 7
    assert 0 <= seeds[0] < 2**31


@pytest.mark.parametrize(
    "actions, message",
    [
        (np.zeros([1, 1]), r"\(1, 1\) for 1 worlds with up to 2"),
        (np.zeros([2, 2]), "shape"),
        (np.zeros([2]), "shape"),
        (np.array([[0.0, np.nan]]), "outside"),
        (np.array([[0.0, 1.01]]), "outside"),
    ],
)
def test_bad_actions_are_refused(actions, message):
    """The world would clip or propagate them; the record would be wrong."""

    class Policy(CountingPolicy):
        def act(self, images):
            return actions

    with pytest.raises(ValueError, match=message):
        collect([FakeWorker(FrameIndexWorld(3))], Policy([3]), [0])


def test_progress_and_timers_are_told():
    rounds, entered = [], []

    def timers(name):
        entered.append(name)
        return contextlib.nullcontext()

    play([2, 3], progress=rounds.append, timers=timers)
    assert rounds == [1, 1, 1]
    assert entered == ["simulate"] + ["plan", "simulate"] * 3


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_random_actions_are_uniform(correlation):
    """Also the first; and correlated as asked, each dimension on its own."""
    policy = RandomActions(2, correlation)
    policy.reset(batch=4000, seed=0)
    images = np.zeros([4000, 1, 1, 3], np.uint8)
    actions = np.stack([policy.act(images) for _ in range(5)])
    assert actions.dtype == np.float32 and np.abs(actions).max() <= 1
    for time in (0, 4):
        counts, _ = np.histogram(actions[time], 10, (-1, 1))
        # 800 in each, standard deviation 27.
        assert np.abs(counts - 800).max() < 120, counts
    # Correlation of uniforms coupled by Gaussians with correlation rho.
    expected = 6 / np.pi * np.arcsin(correlation / 2)
    found = np.corrcoef(actions[3].ravel(), actions[4].ravel())[0, 1]
    assert abs(found - expected) < 0.04
    across = np.corrcoef(actions[..., 0].ravel(), actions[..., 1].ravel())
    assert abs(across[0, 1]) < 0.06


def test_random_actions_follow_their_seed():
    def draw(seed):
        policy = RandomActions(2, 0.5)
        policy.reset(batch=1, seed=seed)
        images = np.zeros([1, 64, 64, 3], np.uint8)
        return [policy.act(images).tolist() for _ in range(3)]

    assert draw(1) == draw(1) != draw(2)
