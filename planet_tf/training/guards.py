"""What can go wrong in a step, said in words that help."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf


class SkippedUpdates:
    """Names updates without finite loss or gradient; too many end a run.

    While the last update was skipped, nothing is worth saving: the one before
    may have spoilt the weights.

    Args:
        describe: Names the batch of an update, counted from 0.
        updates: Done so far.
        limit: So many in a row are too many.

    Attributes:
        in_a_row: How many of the last updates were skipped.
    """

    def __init__(
        self, describe: Callable[[int], str], updates: int = 0, limit: int = 10
    ):
        self._describe = describe
        self._updates = updates
        self._limit = limit
        self.in_a_row = 0

    def check(
        self, updates: int, losses: Sequence[Mapping[str, float]]
    ) -> None:
        """Looks at the updates since the last call; waits for them.

        Args:
            updates: Done so far.
            losses: Of these or more, the newest last, as returned by
                `Learner.update`.

        Raises:
            FloatingPointError: `limit` updates in a row were skipped.
        """
        new = losses[len(losses) - (updates - self._updates) :]
        for loss in new:
            self.in_a_row = self.in_a_row + 1 if loss["skipped"] else 0
            self._updates += 1
            if self.in_a_row:
                logging.warning(
                    "Update %d was skipped: its loss or gradient was not "
                    "finite. Its batch, as episode[rows]: %s",
                    self._updates,
                    self._describe(self._updates - 1),
                )
            if self.in_a_row == self._limit:
                self.end()

    def end(self) -> None:
        """To be called when nothing else follows.

        Raises:
            FloatingPointError: The last update was skipped.
        """
        if self.in_a_row:
            raise FloatingPointError(
                f"Loss or gradient was not finite in {self.in_a_row} updates "
                f"in a row, up to update {self._updates}. Nothing was saved "
                "since the first of them. Continue from the newest checkpoint "
                "with a lower --main_learning_rate or --main_gradient_clipping "
                "(and --allow_config_change). If that ends in the same way, "
                "its weights are spoilt, too: delete the files with the "
                "highest number in checkpoints/ to continue from the one "
                "before."
            )


class OutOfMemoryError(MemoryError):
    """Says what to lower."""


@contextlib.contextmanager
def memory_for(purpose: str, *names: str) -> Iterator[None]:
    """Says what to lower when memory runs out, TensorFlow's or NumPy's.

    Args:
        purpose: What the memory is for.
        *names: Of flags, the most useful first.

    Raises:
        OutOfMemoryError: Instead of their errors.
    """
    try:
        yield
    except OutOfMemoryError:  # Of a part that knows better.
        raise
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        reason = str(error).partition("\n")[0]
        raise OutOfMemoryError(
            f"Memory ran out in {purpose}. Lower --{' or --'.join(names)}, or "
            "end other programs that use it (nvidia-smi lists those on a "
            f"GPU). The error was: {reason}"
        ) from error
