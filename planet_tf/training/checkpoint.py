"""Everything a run needs to continue, in one folder, written atomically."""

import logging
import pathlib

import tensorflow as tf

from planet_tf.models.world_model import WorldModel

# What TensorFlow's readers raise for files that are cut off, missing or of
# another model.
_UNREADABLE = (
    tf.errors.OpError,
    AssertionError,
    IndexError,
    RuntimeError,
    ValueError,
)


class Checkpoint:
    """Saves and restores weights, optimizer and the count of updates.

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
        optimizer: tf.keras.optimizers.Optimizer | None = None,
        keep: int = 2,
    ):
        self._updates = tf.Variable(0, dtype=tf.int64)
        self._seconds = tf.Variable(0.0, dtype=tf.float64)
        parts = (
            {"model": model}
            if optimizer is None
            else {"model": model, "optimizer": optimizer}
        )
        self._complete = optimizer is not None
        self._checkpoint = tf.train.Checkpoint(
            updates=self._updates, seconds=self._seconds, **parts
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            str(directory),
            max_to_keep=keep,
            step_counter=self._updates,
        )

    def save(self, updates: int, seconds: float) -> str:
        """Writes a checkpoint; returns its path.

        Args:
            updates: Gradient steps done.
            seconds: Wall time the run has taken so far.

        Raises:
            OSError: It could not be written; earlier ones are intact.
        """
        self._updates.assign(updates)
        self._seconds.assign(seconds)
        try:
            return self._manager.save(checkpoint_number=updates)
        except tf.errors.OpError as error:
            raise OSError(
                f"Cannot write a checkpoint to {self._manager.directory}: "
                f"{error.message} Earlier checkpoints are intact; free some "
                "space and start the same command again."
            ) from error

    def restore(self, path: str | None = None) -> tuple[int, float] | None:
        """Loads the newest checkpoint that is readable, or the one at `path`.

        Returns:
            The `updates` and `seconds` saved with it; None without any.

        Raises:
            ValueError: There are checkpoints but none could be read.
        """
        paths = [path] if path else self._manager.checkpoints[::-1]
        for path in paths:
            try:
                status = self._checkpoint.restore(path)
                if self._complete:
                    status.assert_consumed()
                else:
                    status.assert_existing_objects_matched().expect_partial()
            except _UNREADABLE as error:
                logging.warning(
                    "Checkpoint %s cannot be read (%s); trying the one before.",
                    path,
                    str(error).splitlines()[0],
                )
                continue
            return int(self._updates.numpy()), float(self._seconds.numpy())
        if paths:
            raise ValueError(
                f"None of the checkpoints in {self._manager.directory} can be "
                "read. Delete that folder to start the model again from the "
                "recorded episodes."
            )
        return None
