"""Reads what a run left in its folder; imports no TensorFlow.

Nothing is written and no lock is taken, so a run that is still going may be
read.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.tools.files import UNREADABLE, checkpoints, expanded

Result = TypeVar("Result")


class Run(NamedTuple):
    """A run that can act."""

    logdir: pathlib.Path
    config: Config
    updates: int  # Of the checkpoint.
    checkpoint: pathlib.Path
    action_dim: int  # A
    observations: dict[str, tuple[int, ...]]  # Shapes, "image" among them.


def find(
    logdir: str | pathlib.Path, checkpoint: int | str | None = None
) -> Run:
    """What the folder of a run holds.

    Args:
        logdir: The folder that training was given, or named.
        checkpoint: The updates at a checkpoint; "best": the one with the
            highest test score; None: the newest.

    Raises:
        OSError: The folder is not readable.
        ValueError: There is no run, no episode or no such checkpoint; one
            line that says what there is.
    """
    logdir = expanded(logdir)
    path = logdir / "config.yaml"
    if not path.exists():
        raise ValueError(
            f"{logdir} holds no run, as there is no config.yaml in it. Name "
            "the folder that training printed as its results."
        )
    config = configs.load(path).as_tested()
    newest = checkpoints(logdir / "checkpoints")
    best = checkpoints(logdir / "checkpoints" / "best")
    if not newest:
        raise ValueError(
            f"{logdir} has no checkpoint yet. Training writes the first one "
            "after its seed episodes."
        )
    found = {**newest, **best}
    if checkpoint is None:
        updates = next(iter(newest))
    elif checkpoint == "best" and best:
        found, (updates, *_) = best, best
    else:
        updates = checkpoint
    if str(updates) not in map(str, found):
        raise ValueError(
            f"{logdir} has no checkpoint {updates}, only "
            f"{', '.join(map(str, found))}."
        )
    updates = int(updates)
    return Run(logdir, config, updates, found[updates], *_sizes(logdir))


def use(
    function: Callable[[Run], Result],
    logdir: str | pathlib.Path,
    checkpoint: int | str | None = None,
) -> Result:
    """Calls a function that reads the checkpoint of a run.

    A run that is going on deletes older checkpoints. If that happens to this
    one before it is read, the function is called again with the one that has
    taken its place; a checkpoint that was named by its updates has none.

    Args:
        function: Raises ValueError if it cannot read the checkpoint.
        logdir: This and `checkpoint` as for `find`.
        checkpoint: The same.

    Raises:
        OSError: As `find`.
        ValueError: As `find`, or from the function.
    """
    while True:
        run = find(logdir, checkpoint)
        try:
            return function(run)
        except ValueError:
            gone = not run.checkpoint.with_suffix(".index").exists()
            if checkpoint not in (None, "best") or not gone:
                raise


def _sizes(logdir: pathlib.Path) -> tuple[int, dict[str, tuple[int, ...]]]:
    """A, and the shapes of observations, from a recorded episode.

    So that an agent can be used where its world cannot be made.
    """
    # The newest that can be read: one that does not belong here, and is
    # skipped in training, is older than what training records after it.
    for path in sorted(logdir.glob("*_episodes/*.npz"), reverse=True):
        try:
            with np.load(path, allow_pickle=False) as file:
                shapes = {key: file[key].shape[1:] for key in file}
            (action_dim,) = shapes.pop("action")
            del shapes["reward"]
        except UNREADABLE:  # Training, too, leaves damaged episodes alone.
            continue
        return action_dim, shapes
    raise ValueError(
        f"{logdir} holds no recorded episode that can be read. The size of "
        "actions is taken from one: copy train_episodes or test_episodes, too."
    )
