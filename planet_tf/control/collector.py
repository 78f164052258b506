"""Plays episodes of every task into a replay."""

import logging
from collections.abc import Callable, Iterator

from planet_tf.control import episodes
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.tools.replay import Replay
from planet_tf.tools.seeding import fold_int

ATTEMPTS = 3  # Failures in a row of one world that end a run.


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

        Raises:
            OSError: See `Replay.add`.
            WorkerError: A world failed several times in a row.
        """
        return {
            task: self.play_task(task, policy, progress)
            for task in self._workers
        }

    def play_task(
        self,
        task: str,
        policy: episodes.Policy,
        progress: Callable[[int], None] | None = None,
    ) -> episodes.Episode:
        """As `play`, for one task.

        The episode with the n-th running number always starts in the same
        state and has the same noise: both follow from the seed and n. One
        whose world fails is dropped, and played again in a new process.
        """
        worker = self._workers[task]
        stream = f"{self.name}_{task}"
        seed = fold_int(self._seed, stream, self._replay.next_index)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                (episode,) = episodes.collect(
                    [worker], policy, [seed], progress, self._timers
                )
                break
            except WorkerError as error:
                if attempt == ATTEMPTS:
                    raise WorkerError(
                        f"The world of {task} failed {ATTEMPTS} times in a "
                        f"row. {error}"
                    ) from error
                logging.warning(
                    "Dropped an unfinished episode of %s and started its "
                    "world again, because: %s",
                    task,
                    error,
                )
                worker.restart()
        self._replay.add(episode, task)
        return episode

    def missing(self, count: int) -> Iterator[str]:
        """Yields whose turn it is until every task has `count` episodes."""
        while True:
            task = min(self._workers, key=self._replay.count)
            if self._replay.count(task) >= count:
                return
            yield task
