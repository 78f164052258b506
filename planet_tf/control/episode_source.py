"""Plays episodes of every task for a replay."""

import logging
from collections.abc import Callable, Iterator

from planet_tf.control import episodes
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.tools.progress import Timers
from planet_tf.tools.replay import Replay
from planet_tf.tools.seeding import fold_int

ATTEMPTS = 3  # Failures in a row of one world that end a run.


class EpisodeSource:
    """One of the run's two sources of episodes: train or test.

    What was played is held back until `record`, so that a thread may play
    while another one draws from the replay.

    Args:
        name: Distinguishes its random streams: sources of one run that share
            a name would play the same worlds.
        workers: The worlds of each task, by task name. Those of one task are
            played side by side, planned in one batch.
        replay: Where the episodes go.
        seed: The run's.
        timers: See `episodes.collect`.
    """

    def __init__(
        self,
        name: str,
        workers: dict[str, list[Worker]],
        replay: Replay,
        seed: int,
        timers: Timers | None = None,
    ):
        self.name = name
        self._workers = workers
        self._replay = replay
        self._seed = seed
        self._timers = timers
        self._played: list[tuple[episodes.Episode, str]] = []

    def play(
        self,
        policy: episodes.Policy,
        progress: Callable[[int], None] | None = None,
        most: int | None = None,
    ) -> dict[str, list[episodes.Episode]]:
        """Plays episodes of every task; returns them by task.

        Args:
            policy: Chooses the actions.
            progress: See `episodes.collect`.
            most: How many of each task's worlds play; None: all.

        Raises:
            WorkerError: A world failed several times in a row, or was closed.
        """
        return {
            task: self.play_task(task, policy, progress, most)
            for task in self._workers
        }

    def play_task(
        self,
        task: str,
        policy: episodes.Policy,
        progress: Callable[[int], None] | None = None,
        most: int | None = None,
    ) -> list[episodes.Episode]:
        """As `play`, for one task.

        The episode with the n-th running number always starts in the same
        state: it follows from the seed and n. The noise follows from the first
        number of those that are played side by side. If one of the worlds
        fails, these episodes are dropped, and played again in new processes.
        """
        workers = self._workers[task][:most]
        stream = f"{self.name}_{task}"
        first = self._replay.next_index + len(self._played)
        seeds = [
            fold_int(self._seed, stream, first + i) for i in range(len(workers))
        ]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                played = episodes.collect(
                    workers, policy, seeds, progress, self._timers
                )
                break
            except WorkerError as error:
                if attempt == ATTEMPTS:
                    raise WorkerError(
                        f"The world of {task} failed {ATTEMPTS} times in a "
                        f"row. {error}"
                    ) from error
                for worker in workers:
                    worker.restart()
                logging.warning(
                    "Dropped an unfinished episode of %s and started its "
                    "world again, because: %s",
                    task,
                    error,
                )
        self._played += [(episode, task) for episode in played]
        return played

    def record(self) -> None:
        """Adds what was played since the last call to the replay.

        Raises:
            OSError: See `Replay.add`.
            WorkerError: An episode cannot be recorded.
        """
        for episode, task in self._played:
            try:
                self._replay.add(episode, task)
            except ValueError as error:
                raise WorkerError(
                    f"The world of {task} plays what cannot be recorded: "
                    f"{error}"
                ) from error
        self._played.clear()

    def recorded(self, task: str) -> int:
        """How many episodes of a task there are."""
        return self._replay.count(task)

    def missing(self, count: int) -> Iterator[str]:
        """Yields whose turn it is until `count` of every task are recorded."""
        while True:
            task = min(self._workers, key=self.recorded)
            if self.recorded(task) >= count:
                return
            yield task
