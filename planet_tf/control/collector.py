"""Plays episodes of every task into a replay."""

from collections.abc import Callable

from planet_tf.control import episodes
from planet_tf.control.workers import Worker
from planet_tf.tools.replay import Replay
from planet_tf.tools.seeding import fold_int


class Collector:
    """One of the run's two sources of episodes: train or test.

    Args:
        name: Distinguishes its random streams: collectors of one run that
            share a name would play the same worlds.
        workers: One world for each task, by task name.
        replay: Where the episodes go.
        seed: The run's.
        timers: See `episodes.collect`.
    """

    def __init__(
        self,
        name: str,
        workers: dict[str, Worker],
        replay: Replay,
        seed: int,
        timers: episodes.Timers | None = None,
    ):
        self.name = name
        self._workers = workers
        self._replay = replay
        self._seed = seed
        self._timers = timers

    def play(
        self,
        policy: episodes.Policy,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, episodes.Episode]:
        """Plays and records one episode of every task; returns them by task.

        The n-th recorded episode of a task always starts in the same state
        and has the same noise: both follow from the seed and n.
        """
        played = {}
        for task, worker in self._workers.items():
            stream = f"{self.name}_{task}"
            seed = fold_int(self._seed, stream, self._replay.count(task))
            (episode,) = episodes.collect(
                [worker], policy, [seed], progress, self._timers
            )
            self._replay.add(episode, task)
            played[task] = episode
        return played

    def missing(self, count: int) -> int:
        """How many rounds are needed until every task has `count` episodes."""
        return max(
            0, count - min(self._replay.count(task) for task in self._workers)
        )
