"""Which rows of which episodes a batch is made of; see `Replay.sample`.

Shape letters: B batch, T time (rows of a chunk).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from planet_tf.control.episodes import terminated
from planet_tf.tools.frames import Frames

Episode = dict[str, np.ndarray | Frames]
Batch = dict[str, np.ndarray]


class Held(NamedTuple):
    """An episode that a replay holds, its task, and its running number."""

    episode: Episode
    task: str
    number: int


def _rows(held: Held) -> int:
    return len(held.episode["reward"])


def longest(episodes: list[Held]) -> float:
    """Rows of the longest chunk that fits; 0 without any episode."""
    if any(terminated(held.episode) for held in episodes):
        return math.inf
    return max(map(_rows, episodes), default=0)


def _places(held: Held, length: int) -> int:
    """How many chunks an episode has; the first begins in row 0."""
    if terminated(held.episode):
        return max(1, _rows(held) - length + length // 2 + 1)
    return max(0, _rows(held) - length + 1)


def choose(
    episodes: list[Held], rng: np.random.Generator, batch: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Episode of each chunk, and its first row there: [B] each."""
    # Deviates from planet: the original picks an episode, then an offset in
    # it. The paper draws chunks uniformly from the data, as here for each
    # task; where its episodes are equally long, as in each of the paper's, both
    # are the same.
    places = np.array([_places(held, length) for held in episodes])
    task = np.array([held.task for held in episodes])
    names = np.unique(task)
    chosen = np.full(batch, names[0])
    if len(names) > 1:
        chosen = rng.choice(names, batch)
    which, offset = np.empty([2, batch], int)
    for name in names:
        mine, rows = np.flatnonzero(task == name), chosen == name
        ends = np.cumsum(places[mine])
        picks = rng.integers(ends[-1], size=np.sum(rows))
        found = np.searchsorted(ends, picks, side="right")
        which[rows] = mine[found]
        offset[rows] = picks - (ends - places[mine])[found]
    return which, offset


def sample(
    episodes: list[Held],
    rng: np.random.Generator,
    batch: int,
    length: int,
    keys: Sequence[str],
) -> Batch:
    """Chunks of T = `length` rows, by key: [B, T, ...]."""
    which, offsets = choose(episodes, rng, batch, length)
    result = {}
    for key in keys:
        like = episodes[0].episode[key]
        # Written straight into place: stacking slices would copy twice.
        result[key] = np.empty((batch, length, *like.shape[1:]), like.dtype)
        for row, i, start in zip(result[key], which, offsets, strict=True):
            seen = episodes[i].episode[key][start : start + length]
            row[: len(seen)] = seen
            rest = row[len(seen) :]
            rest[...] = 0 if key == "reward" else seen[-1]
            if key == "action":
                rest[...] = rng.uniform(-1, 1, rest.shape)
    return result
