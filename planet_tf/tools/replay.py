"""Episodes in memory or on disk, and the batches drawn from them.

Shape letters: B batch, T time (rows of a chunk), A action. An episode of N
decisions has N+1 rows, see `planet_tf/control/episodes.py`.
"""

import collections
import concurrent.futures
import logging
import math
import pathlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.tools.chunks import (
    Batch,
    Episode,
    Held,
    choose,
    longest,
    sample,
)
from planet_tf.tools.files import (
    TEMPORARY,
    UNREADABLE,
    atomic_write,
)
from planet_tf.tools.frames import Frames, NotWrittenError, remove_others
from planet_tf.tools.interrupts import undisturbed
from planet_tf.training.schedule import CONTEXT, TEST_LENGTH

Shapes = Mapping[str, tuple[int, ...]]

# What the model is trained on; episodes may hold other observations too.
KEYS = ("image", "action", "reward")

# Batches prepared ahead of the one in use. One would do if every update took
# equally long; the second evens out hiccups.
_AHEAD = 2

# 000012-cup_catch-20261122T164200.npz
_NAME = re.compile(r"(\d+)-(.+)-\d{8}T\d{6}\.npz")


class Replay:
    """All episodes of one directory, in memory, oldest first.

    A file that cannot be used (damaged, not an episode, with rows of other
    shapes, of another task) is left alone: it is named in one logged line, or
    its task is, and counted in `skipped`.

    Deviates from planet: the task is part of a file's name, because the
    original cannot tell the tasks of a shared directory apart when it counts
    seed episodes. A running index keeps the order of the episodes, and with it
    every batch, the same after a restart.

    Args:
        directory: Made when missing. Belongs to this object alone: leftovers
            of unfinished writes are removed.
        end: Running number of the next episode; files with this number or a
            higher one are moved to `dropped/`. None keeps all.
        tasks: Files of others cannot be used. None allows any.
        read_only: Changes nothing in the directory, so that it may belong to
            a run that is still going; `end` is then None.
        on_disk: Frames stay on disk, see `tools/frames.py`; the batches are
            the same. Not with `read_only`. Raises OSError where they cannot
            be written.
        rows: Shapes of the rows, see `row_shapes`. None: `KEYS` have those of
            the first episode, which may be the one that does not belong here.

    Attributes:
        next_index: Running number of the next episode; never used twice.
        skipped: Number of files that cannot be used.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        end: int | None = None,
        tasks: Sequence[str] | None = None,
        read_only: bool = False,
        on_disk: bool = False,
        rows: Shapes | None = None,
    ):
        self._directory = pathlib.Path(directory).expanduser()
        self._on_disk = on_disk
        self._rows = rows
        if not read_only:
            self._directory.mkdir(parents=True, exist_ok=True)
            for leftover in self._directory.glob(f"*.npz{TEMPORARY}"):
                leftover.unlink()
        self._all: list[Held] = []
        self._count = collections.Counter()
        self._steps = collections.Counter()
        self.next_index = end or 0
        self.skipped = 0
        if end is not None:
            _drop(self._directory, end)
        others = collections.Counter()
        for path in sorted(self._directory.glob("*.npz"), key=_index):
            self.next_index = max(self.next_index, _index(path) + 1)
            try:
                task = _task(path)
                if tasks is not None and task not in tasks:
                    others[task] += 1
                    continue
                episode = _read(path, on_disk)
                self._check(episode)
            except NotWrittenError:  # Of the disk, not of this episode.
                raise
            except UNREADABLE as error:
                self.skipped += 1
                logging.warning("Skipped %s: %s", path, error)
            else:
                self._hold(_index(path), episode, task)
        for task, count in others.items():
            self.skipped += count
            logging.warning(
                "Skipped %d episode(s) of %s in %s: not of %s",
                count,
                task,
                self._directory,
                ", ".join(tasks),
            )
        if not read_only:
            remove_others(
                self._directory,
                {x.episode["image"].path for x in self._all if on_disk},
            )

    @property
    def episodes(self) -> int:
        """Number of episodes held."""
        return len(self._all)

    def count(self, task: str) -> int:
        """Number of episodes of one task."""
        return self._count[task]

    @property
    def tasks(self) -> list[str]:
        """Those that there are episodes of."""
        return sorted(self._count)

    def sequence_length(self, tasks: Sequence[str]) -> int:
        """Rows of held-out sequences: 50, or as many as each task has.

        Raises:
            ValueError: Of a task, nothing would be left to predict.
        """
        lengths = {task: longest(self._of(task)) for task in tasks}
        for task, length in lengths.items():
            if length <= CONTEXT:
                raise ValueError(
                    f"{self._directory} lacks episodes of {task} of more than "
                    f"{CONTEXT} rows, from which a prediction starts"
                )
        return int(min([TEST_LENGTH, *lengths.values()]))

    def agent_steps(self, task: str) -> int:
        """Decisions in these; times action repeat, simulator steps."""
        return self._steps[task]

    def add(self, episode: Episode, task: str) -> pathlib.Path:
        """Writes an episode to disk, then holds it too.

        The file has the original's layout: image uint8, action float32,
        reward float64 and every other observation float32, all compressed.

        Args:
            episode: Rows 0 to N; not to be changed afterwards.
            task: What `count` will count it as.

        Returns:
            The new file.

        Raises:
            ValueError: This is not an episode, or has rows of other shapes.
            OSError: The file could not be written (disk full, say). The
                earlier episodes are intact, and this one is not held.
        """
        episode = _checked(episode)
        self._check(episode)
        stamp = time.strftime("%Y%m%dT%H%M%S")
        path = self._directory / f"{self.next_index:06d}-{task}-{stamp}.npz"
        with undisturbed():
            with atomic_write(path) as file:
                np.savez_compressed(
                    file,
                    **{**episode, "reward": episode["reward"].astype("f8")},
                )
            if self._on_disk:
                try:
                    episode["image"] = Frames(path)
                except OSError:
                    path.unlink()
                    raise
        self._hold(self.next_index, episode, task)
        self.next_index += 1
        return path

    def mean_image(self, bits: int) -> np.ndarray:
        """The mean of all images as `preprocess` makes them: [H, W, C].

        Every task counts alike, as in `sample`.

        Args:
            bits: Colour depth, 1 to 8.

        Raises:
            ValueError: There are no episodes.
        """
        self._require(self._all, 1, ("image",))
        means = []
        for task in self.tasks:
            total = count = 0
            for held in self._of(task):
                images = held.episode["image"][:] >> (8 - bits)
                total += images.sum(0, dtype=np.int64)
                count += len(images)
            means.append(total / count)
        # Dequantising noise adds half a bin on average.
        mean = (np.mean(means, 0) + 0.5) / 2**bits - 0.5
        return mean.astype(np.float32)

    def sample(
        self,
        rng: np.random.Generator,
        batch: int,
        length: int,
        keys: Sequence[str] = KEYS,
    ) -> Batch:
        """Draws chunks of episodes, with replacement.

        Every task is equally likely, and within a task every place at which a
        chunk fits within one episode, the last (rows L-T to L-1 of L) included.

        Deviates from planet: where an episode has terminated, as much as half
        of a chunk may lie beyond its end, and more where it is shorter. These
        rows are the last one again, with reward 0 and random actions, so that
        the model and a value learn that nothing can be gained any more. The
        original fills short episodes alone, by moving a simulator that says it
        has ended, which Gymnasium calls undefined; effect on return:
        unmeasured, none on dm_control's tasks, which are cut off.

        Args:
            rng: Decides which.
            batch: Number of chunks B.
            length: Rows T of each.
            keys: Arrays to return.

        Returns:
            `keys` as [B, T, ...]: image uint8, everything else float32.

        Raises:
            ValueError: No episode of a task is that long, or one lacks a key.
        """
        self._require(self._all, length, keys)
        return sample(self._all, rng, batch, length, keys)

    def batches(
        self,
        first: int,
        count: int,
        batch: int,
        length: int,
        seed: int,
        keys: Sequence[str] = KEYS,
        task: str | None = None,
    ) -> Iterator[Batch]:
        """Yields the batches of updates `first` to `first + count - 1`.

        The batch of update u depends on (seed, u) and on the episodes held at
        the time of this call, and on nothing else: episodes added later, an
        interruption or where `first` begins make no difference. A thread
        prepares the next ones meanwhile; what goes wrong in it is raised here.

        Args:
            first: Updates done so far.
            count: Number of batches.
            batch: See `sample`, as for `length` and `keys`.
            length: T.
            seed: Of the run.
            keys: Arrays to return.
            task: Draws from its episodes alone; None: from all.

        Raises:
            ValueError: At once, as in `sample`.
        """
        # Deviates from planet: the original's loader works on whole passes of
        # 1000 chunks and notices new episodes up to 30 updates late; here they
        # are in the next batch.
        episodes = self._of(task)
        self._require(episodes, length, keys)

        def draw(update: int) -> Batch:
            rng = _generator(seed, update)
            return sample(episodes, rng, batch, length, keys)

        return _ahead(draw, range(first, first + count))

    def _of(self, task: str | None) -> list[Held]:
        """The episodes of a task, or all."""
        return [held for held in self._all if task in (None, held.task)]

    def chunks(self, update: int, batch: int, length: int, seed: int) -> str:
        """Names the episodes and rows in the batch of an update; a slice each.

        Right as long as no episode was added since; arguments as in `batches`.
        """
        which, offsets = choose(
            self._all, _generator(seed, update), batch, length
        )
        return ", ".join(
            f"{self._all[i].number:06d}[{start}:{start + length}]"
            for i, start in zip(which, offsets, strict=True)
        )

    def _hold(self, index: int, episode: Episode, task: str) -> None:
        if self._rows is None:
            self._rows = {key: episode[key].shape[1:] for key in KEYS}
        self._all.append(Held(episode, task, index))
        self._count[task] += 1
        self._steps[task] += len(episode["reward"]) - 1

    def _require(
        self, episodes: list[Held], length: int, keys: Sequence[str]
    ) -> None:
        """Raises unless chunks of this kind can be drawn of each task."""
        for task in sorted({held.task for held in episodes}) or [""]:
            mine = [held for held in episodes if held.task == task]
            most = longest(mine)
            if not mine:
                raise ValueError(
                    f"{self._directory} holds no episode"
                    f"{' of ' if task else ''}{task} that can be used "
                    f"({self.skipped} unusable files)"
                )
            if most < length:
                # Deviates from planet: the original waits forever here.
                raise ValueError(
                    f"{self._directory} holds {len(mine)} episodes"
                    f"{' of ' if task else ''}{task} of at most {most} rows "
                    f"({self.skipped} unusable files), but chunks need "
                    f"{length}: collect seed episodes first, or train on "
                    "shorter chunks (the second number of batch_shape)"
                )
        for key in keys:
            lacking = sum(key not in held.episode for held in episodes)
            if lacking:
                raise ValueError(
                    f"{lacking} of {len(episodes)} episodes in "
                    f"{self._directory} have no {key!r}"
                )

    def _check(self, episode: Episode) -> None:
        """Raises ValueError unless the rows have the shapes they must have."""
        for key, expected in (self._rows or {}).items():
            if key not in episode:
                raise ValueError(
                    f"there is no {key!r}, rows of which have shape {expected}"
                )
            shape = episode[key].shape[1:]
            if shape != expected:
                raise ValueError(
                    f"rows of {key!r} have shape {shape}, not {expected}"
                )


def row_shapes(
    action_dim: int, observations: Shapes, keys: Sequence[str] = KEYS
) -> Shapes:
    """What rows of an episode are like, for `Replay`.

    Args:
        action_dim: A, of the widest actions of all tasks.
        observations: Of a world's `Spec`.
        keys: The arrays that are needed; others may be of any shape.
    """
    shapes = {**observations, "action": (action_dim,), "reward": ()}
    return {key: tuple(shapes[key]) for key in keys}


def size_when_full(episodes: int, length: float) -> int:
    """Bytes that the images of so many episodes take, in memory or on disk.

    Nothing is ever dropped, as in the original.

    Args:
        episodes: At the end of the run.
        length: Decisions in each, on average.
    """
    return round(episodes * (length + 1) * math.prod(IMAGE_SHAPE))


def _drop(directory: pathlib.Path, end: int) -> None:
    """Moves the episodes from running number `end` on out of the way."""
    late = [p for p in directory.glob("*.npz") if _index(p) >= end]
    for path in late:
        (directory / "dropped").mkdir(exist_ok=True)
        path.replace(directory / "dropped" / path.name)
    if late:
        logging.warning(
            "%d episode(s) in %s are newer than the checkpoint. They are "
            "played again; the old files are in dropped/.",
            len(late),
            directory,
        )


def _index(path: pathlib.Path) -> int:
    """The running number in a file's name; -1 where it has none."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def _task(path: pathlib.Path) -> str:
    """The task in a file's name."""
    match = _NAME.fullmatch(path.name)
    if not match:
        raise ValueError("the name is not <index>-<task>-<time>.npz")
    return match[2]


def _read(path: pathlib.Path, on_disk: bool) -> Episode:
    with np.load(path, allow_pickle=False) as file:
        # Images are not even unpacked where their file is there already.
        apart = {"image": Frames(path)} if on_disk and "image" in file else {}
        rest = {key: file[key] for key in file if key not in apart}
        return _checked(rest | apart)


def _checked(episode: Episode) -> Episode:
    """Images as uint8, the rest as float32; ValueError if not an episode."""
    result = {}
    for key, rank in (("image", 4), ("action", 2), ("reward", 1)):
        if np.ndim(episode.get(key)) != rank:
            raise ValueError(f"there is no {key!r} with {rank} dimensions")
    rows = len(episode["reward"])
    if rows < 2:
        raise ValueError(f"an episode has at least 2 rows, not {rows}")
    for key, values in episode.items():
        if values.shape[:1] != (rows,):
            raise ValueError(f"{key} is {values.shape}, reward has {rows} rows")
        if key == "image":
            valid = values.dtype == np.uint8
        elif valid := values.dtype.kind in "fiub":
            values = values.astype(np.float32)
            valid = np.isfinite(values).all()
        if not valid:
            raise ValueError(f"{key} ({values.dtype}) is not finite or uint8")
        result[key] = values
    return result


def _generator(seed: int, update: int) -> np.random.Generator:
    return np.random.default_rng([seed, update])


def _ahead(draw, updates: range) -> Iterator[Batch]:
    """Yields draw(u) for each update, preparing the next ones in a thread."""
    with concurrent.futures.ThreadPoolExecutor(1, "replay") as thread:
        pending = collections.deque(
            thread.submit(draw, update) for update in updates[:_AHEAD]
        )
        for i in range(len(updates)):
            batch = pending.popleft().result()
            if i + _AHEAD < len(updates):
                pending.append(thread.submit(draw, updates[i + _AHEAD]))
            yield batch
