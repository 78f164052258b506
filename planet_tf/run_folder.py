"""The folder of a run: whether it may be used, and what was left in it.

Imports no TensorFlow. What only reads (`find`, `use`) writes nothing and takes
no lock, so a run that is still going may be read.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from planet_tf import __version__
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

    @property
    def policy(self) -> pathlib.Path:
        """Where the policy is, if the planner was distilled into one."""
        return self.logdir / "policies" / f"{self.updates}.npz"


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


def prepare(config: Config, logdir: pathlib.Path, change: bool) -> None:
    """Checks that the run's folder holds the same run, or none.

    Raises:
        ValueError: It holds a run with another config, and `change` is False,
            or one without networks that are wanted now, or with others.
        OSError: The folder is not readable; names the flag.
    """
    path = logdir / "config.yaml"
    try:
        if not path.exists():
            return
        stored = configs.load(path)
    except OSError as error:
        raise _unusable(logdir, error) from error
    differences = configs.differences(stored, config)
    for name, has, hint in (
        ("--value_loss_scale", lambda it: bool(it.value_loss_scale), ""),
        (
            "an objective of disagreement (--collect_objective, "
            "--train_collects)",
            lambda it: it.explores,
            " Collectors may begin and end at any time: after, until.",
        ),
    ):
        # Checkpoints would lack the networks, or have too many.
        if has(stored) != has(config):
            raise ValueError(
                f"{logdir}: {name} cannot be switched "
                f"{'on' if has(config) else 'off'} in a run that has begun. "
                f"Use another --logdir.{hint}"
            )
    version = configs.written_by(path)
    if version != __version__:
        differences.append(f"version of planet_tf: {version} -> {__version__}")
    if differences and not change:
        raise ValueError(
            f"{logdir} holds a run with another config:\n  "
            + "\n  ".join(differences)
            + "\nUse another --logdir, the same flags as before, or "
            "--allow_config_change to go on with the new values."
        )
    if differences:
        print("Changed:", *differences, sep="\n  ")


def _unusable(logdir: pathlib.Path, error: OSError) -> OSError:
    """The same error, with the flag to change."""
    path, reason = error.filename, error.strerror
    if os.path.islink(path) and not os.path.exists(path):
        reason = f"a link to {os.readlink(path)}, which is not there"
    return OSError(
        f"--logdir={logdir}: cannot be used ({path}: {reason}). Choose a "
        "folder that you may write to."
    )


@contextlib.contextmanager
def locked(logdir: pathlib.Path) -> Iterator[None]:
    """Keeps a second process out of the folder.

    A run that is refused after all, by a `ConfigError`, leaves nothing behind.

    Raises:
        BlockingIOError: Another process is using it.
        OSError: It is not writable.
    """
    try:
        made = [x for x in (logdir, *logdir.parents) if not x.exists()]
        logdir.mkdir(parents=True, exist_ok=True)
        file = (logdir / ".lock").open("w")
    except OSError as error:
        raise _unusable(logdir, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"Another process is using {logdir}. Wait for it, stop it, or "
                "name another --logdir."
            ) from error
        try:
            yield
        except configs.ConfigError:
            with contextlib.suppress(OSError):
                (logdir / ".lock").unlink()
                for folder in made:
                    folder.rmdir()
            raise
