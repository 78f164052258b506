"""Everything a run needs to continue, in one folder, written atomically.

<logdir>/checkpoints/ckpt-<updates>.*        the newest two
<logdir>/checkpoints/best/ckpt-<updates>.*   the one with the best test score
<logdir>/checkpoints/damaged/                what could not be read
"""

import contextlib
import json
import logging
import math
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from planet_tf.models.world_model import WorldModel
from planet_tf.tools.files import checkpoints, sync

# What TensorFlow's readers raise for files that are cut off, missing or of
# another model.
_UNREADABLE = (
    tf.errors.OpError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Folders of a checkpoint that is being written, and of one that is written but
# not yet in its place. Named such that `_prune` removes them.
_UNFINISHED, _FINISHED = "ckpt-unfinished", "ckpt-finished"
_KEEP = 2  # Newest checkpoints, beside the best.


class Position(NamedTuple):
    """Where a run stands; what follows depends on this and the weights alone.

    A run proceeds in rounds: updates, then the episode, the test and the line
    in the log that are due after them. A position is within the updates of a
    round. Episodes that were recorded after it belong to a round that did not
    end, and are played again.
    """

    updates: int = 0  # Gradient steps done.
    seconds: float = 0.0  # Wall time taken so far.
    losses: Sequence[dict[str, float]] = ()  # Of the updates in this round.
    # Running numbers of the next episodes. None: whatever the folders hold.
    train_episodes: int | None = None
    test_episodes: int | None = None
    best_score: float = -math.inf  # Highest test score so far.

    @property
    def start(self) -> int:
        """Updates that were done before this round."""
        return self.updates - len(self.losses)


class Checkpoint:
    """Saves and restores weights, optimizer and position of a run.

    No generator's state is kept, because there is none: all randomness is
    drawn from the run's seed and a counter (`tools/seeding.py`). Episodes are
    files of their own, and the counters of steps follow from them.

    Args:
        directory: Created if missing.
        model: Built, as all its variables must exist.
        optimizer: Built likewise.
        acting: Plays beside updates with the weights of the round's start.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        model: WorldModel,
        optimizer: tf.keras.optimizers.Optimizer,
        acting: WorldModel | None = None,
    ):
        self._directory = pathlib.Path(directory)
        self._model = model
        self._acting = acting
        self._optimizer = optimizer
        self._learning_rate = float(optimizer.learning_rate)
        with tf.device("/cpu:0"):  # Accelerators hold no text.
            self._position = tf.Variable("", dtype=tf.string)
            # Of any length: 0 without `acting`, which may be switched later.
            self._acting_weights = tf.Variable(tf.zeros([0]), shape=[None])
        self._checkpoint = tf.train.Checkpoint(
            position=self._position,
            model=model,
            optimizer=optimizer,
            acting=self._acting_weights,
        )

    def save(self, position: Position, best: bool = False) -> None:
        """Writes a checkpoint.

        Args:
            position: Of the run.
            best: Replaces the best one instead of the oldest.

        Raises:
            OSError: It could not be written; earlier ones are intact.
        """
        directory, keep = self._directory, _KEEP
        if best:
            directory, keep = directory / "best", 1
        self._position.assign(json.dumps(position._asdict()))
        weights = self._acting.get_weights() if self._acting else []
        self._acting_weights.assign(
            np.concatenate([np.zeros(0, "f"), *map(np.ravel, weights)])
        )
        name, unfinished = f"ckpt-{position.updates}", directory / _UNFINISHED
        try:
            _publish(directory)
            # TensorFlow replaces data first and then writes its index, which
            # would spoil a checkpoint of the same update for a moment.
            shutil.rmtree(unfinished, ignore_errors=True)
            self._checkpoint.write(str(unfinished / name))
            for path in (*unfinished.iterdir(), unfinished):
                sync(path)
            unfinished.replace(directory / _FINISHED)
            _publish(directory)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise OSError(
                f"Cannot write a checkpoint to {directory}: {error} Earlier "
                "checkpoints are intact; free some space and start the same "
                "command again."
            ) from error
        _prune(directory, name, keep)

    def restore(self) -> Position | None:
        """Loads the newest checkpoint that is readable.

        Newer ones are moved into the folder "damaged".

        Returns:
            What was saved with it; None without any.

        Raises:
            OSError: The folder is not writable.
            ValueError: There are checkpoints but none could be read.
        """
        directory = self._directory
        _publish(directory)
        paths, damaged = checkpoints(directory), []
        for path in paths.values():
            try:
                status = self._checkpoint.read(str(path))
                status.assert_consumed()
                values = json.loads(self._position.numpy())
                losses = tuple(values.pop("losses"))
                # The checkpoint has one, too, but the run's may be changed.
                self._optimizer.learning_rate = self._learning_rate
                if self._acting:
                    self._acting.set_weights(self._weights_to_act())
                position = Position(losses=losses, **values)
                break
            except _UNREADABLE as error:
                logging.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    str(error).splitlines()[0],
                )
                damaged.append(path)
        else:
            if not paths:
                return None
            spare = directory / "best"
            hint = "Move"
            if checkpoints(spare):
                hint = f"Copy the files in {spare} there to continue from the "
                hint += "best one, or move"
            raise ValueError(
                f"None of the checkpoints in {directory} can be read: they are "
                "damaged, or of a model of other sizes (tasks with wider or "
                "narrower actions, say), another --center_images or "
                "--encode_motion, or of another version. "
                f"{hint} that folder away to train the model again from the "
                "recorded episodes."
            )
        for path in damaged:
            _set_aside(path)
        return position

    def _weights_to_act(self) -> list[np.ndarray]:
        """As they were saved; the model's if it played by itself then."""
        own = self._model.get_weights()
        values = self._acting_weights.numpy()
        ends = np.cumsum([weight.size for weight in own])
        if len(values) != ends[-1]:
            return own
        return [
            part.reshape(like.shape)
            for part, like in zip(np.split(values, ends[:-1]), own, strict=True)
        ]


def restore_weights(path: pathlib.Path, model: WorldModel) -> None:
    """Loads the weights of a checkpoint, and nothing else.

    Args:
        path: As from `files.checkpoints`.
        model: Built as the run's.

    Raises:
        ValueError: They cannot be read.
    """
    try:
        # Layers in lists, as most are, do not show up as parts of `model`.
        # The optimizer's list has all that it trains, in the model's order.
        reader = tf.train.load_checkpoint(str(path))
        for i, variable in enumerate(model.trainable_variables):
            variable.assign(
                reader.get_tensor(
                    f"optimizer/_trainable_variables/{i}"
                    "/.ATTRIBUTES/VARIABLE_VALUE"
                )
            )
        if model.background is not None:
            model.background.assign(
                reader.get_tensor("model/background/.ATTRIBUTES/VARIABLE_VALUE")
            )
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Checkpoint {path} cannot be read ({reason}). Name another one, "
            "or continue the run to write a new one."
        ) from error


class Saver:
    """Saves where a run stands: on request, in time, and when it fails.

    A context manager: whatever ends the `with` block, no update is lost.

    Args:
        checkpoint: Writes.
        position: Returns where the run stands; None if that is not worth
            saving.
        interval: Seconds after which `save_if_due` saves.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        position: Callable[[], Position | None],
        interval: float = 600.0,
    ):
        self._checkpoint = checkpoint
        self._position = position
        self._interval = interval
        self._saved = time.monotonic()

    def save(self, best: bool = False) -> None:
        """Writes a checkpoint; see `Checkpoint.save`."""
        position = self._position()
        if position:
            self._checkpoint.save(position, best)
            self._saved = time.monotonic()

    def save_if_due(self) -> None:
        """Writes one if the last was long ago."""
        if time.monotonic() - self._saved >= self._interval:
            self.save()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind:
            # What goes wrong here says less than the first error.
            with contextlib.suppress(Exception):
                self.save()


def _publish(directory: pathlib.Path) -> None:
    """Moves a finished checkpoint into its place, also after a crash."""
    finished = directory / _FINISHED
    if finished.is_dir():
        for path in sorted(finished.iterdir()):  # The index comes last.
            path.replace(directory / path.name)
        sync(directory)
        finished.rmdir()


def _set_aside(checkpoint: pathlib.Path) -> None:
    """Lets a damaged checkpoint no longer count as one of the newest."""
    folder = checkpoint.parent / "damaged"
    folder.mkdir(exist_ok=True)
    for path in checkpoint.parent.glob(f"{checkpoint.name}.*"):
        path.replace(folder / path.name)
    logging.warning(
        "Moved checkpoint %s to %s; nothing needs it.", checkpoint.name, folder
    )


def _prune(directory: pathlib.Path, newest: str, keep: int) -> None:
    """Removes old checkpoints, and what a crash left of unfinished ones."""
    names = [path.name for path in checkpoints(directory).values()]
    older = [name for name in names if name != newest]
    kept = {newest, *older[: keep - 1]}
    # In reverse order, so that an index goes before its data.
    for path in sorted(directory.glob("ckpt-*"), reverse=True):
        if path.name.partition(".")[0] in kept:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
