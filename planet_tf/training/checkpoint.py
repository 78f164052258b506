"""Everything a run needs to continue, in one folder, written atomically."""

import logging
import pathlib
from typing import NamedTuple

import tensorflow as tf

from planet_tf.models.world_model import WorldModel
from planet_tf.tools.files import checkpoints

# What TensorFlow's readers raise for files that are cut off, missing or of
# another model.
_UNREADABLE = (
    tf.errors.OpError,
    AssertionError,
    IndexError,
    RuntimeError,
    ValueError,
)


class Position(NamedTuple):
    """Where a run stands."""

    updates: int = 0  # Gradient steps done.
    seconds: float = 0.0  # Wall time taken so far.
    # Whether what the schedule has for this number of updates (an episode, a
    # test, a line in the log) is still to be done.
    due: bool = False


class Checkpoint:
    """Saves and restores weights, optimizer and position of a run.

    No generator's state is kept, because there is none: all randomness is
    drawn from the run's seed and a counter (`tools/seeding.py`). Episodes are
    files of their own, and the counters of steps follow from them.

    Args:
        directory: Created if missing.
        model: Built, as all its variables must exist.
        optimizer: Built likewise.
        keep: Newest checkpoints to keep.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        model: WorldModel,
        optimizer: tf.keras.optimizers.Optimizer,
        keep: int = 2,
    ):
        self._directory = pathlib.Path(directory)
        self._updates = tf.Variable(0, dtype=tf.int64)
        self._seconds = tf.Variable(0.0, dtype=tf.float64)
        self._due = tf.Variable(False)
        self._checkpoint = tf.train.Checkpoint(
            updates=self._updates,
            seconds=self._seconds,
            due=self._due,
            model=model,
            optimizer=optimizer,
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(directory),
            max_to_keep=keep,
            step_counter=self._updates,
        )

    def save(self, position: Position) -> None:
        """Writes a checkpoint.

        Raises:
            OSError: It could not be written; earlier ones are intact.
        """
        self._updates.assign(position.updates)
        self._seconds.assign(position.seconds)
        self._due.assign(position.due)
        try:
            self._manager.save(checkpoint_number=position.updates)
        except tf.errors.OpError as error:
            raise OSError(
                f"Cannot write a checkpoint to {self._directory}: "
                f"{error.message} Earlier checkpoints are intact; free some "
                "space and start the same command again."
            ) from error

    def restore(self) -> Position | None:
        """Loads the newest checkpoint that is readable.

        Returns:
            What was saved with it; None without any.

        Raises:
            ValueError: There are checkpoints but none could be read.
        """
        paths = checkpoints(self._directory)
        for path in paths.values():
            try:
                status = self._checkpoint.restore(str(path))
                status.assert_consumed()
            except _UNREADABLE as error:
                logging.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    str(error).splitlines()[0],
                )
                continue
            return Position(
                int(self._updates.numpy()),
                float(self._seconds.numpy()),
                bool(self._due.numpy()),
            )
        if paths:
            raise ValueError(
                f"None of the checkpoints in {self._directory} can be read: "
                "they are damaged, or of a model of other sizes. Move that "
                "folder away to train the model again from the recorded "
                "episodes."
            )
        return None


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
        # The optimizer's list has every variable, in the model's order.
        weights = tf.train.Checkpoint(
            _trainable_variables=model.trainable_variables
        )
        status = tf.train.Checkpoint(optimizer=weights).restore(str(path))
        status.assert_existing_objects_matched().expect_partial()
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Checkpoint {path} cannot be read ({reason}). Name another one, "
            "or continue the run to write a new one."
        ) from error
