"""What can go wrong in a step, said in words that help."""

import collections
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf


class SkippedUpdates:
    """Names updates without finite loss or gradient; too many end a run.

    Args:
        describe: Names the batch of an update, counted from 0.
        limit: So many in a row are too many.
    """

    def __init__(self, describe: Callable[[int], str], limit: int = 10):
        self._describe = describe
        self._last = collections.deque(maxlen=limit)

    def check(
        self, updates: int, losses: Sequence[Mapping[str, float]]
    ) -> None:
        """Looks at the newest updates.

        Args:
            updates: Done so far.
            losses: Of the last ones, as returned by `Learner.update`.

        Raises:
            FloatingPointError: The last `limit` updates were all skipped.
        """
        for update, loss in enumerate(losses, updates - len(losses)):
            skipped = bool(loss["skipped"])
            self._last.append(skipped)
            if skipped:
                logging.warning(
                    "Update %d was skipped: its loss or gradient was not "
                    "finite. Its batch, as episode[rows]: %s",
                    update + 1,
                    self._describe(update),
                )
        if len(self._last) == self._last.maxlen and all(self._last):
            raise FloatingPointError(
                f"Loss or gradient was not finite in {len(self._last)} updates "
                f"in a row, before update {updates + 1}. The model is as it "
                "was before them, and so is the newest checkpoint. A lower "
                "--main_learning_rate or --main_gradient_clipping usually "
                "helps (with --allow_config_change)."
            )


@contextlib.contextmanager
def memory_for(purpose: str, *names: str) -> Iterator[None]:
    """Says what to lower when TensorFlow's memory runs out.

    Args:
        purpose: What the memory is for.
        *names: Of flags, the most useful first.

    Raises:
        MemoryError: Instead of TensorFlow's error.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        reason = error.message.splitlines()[0]
        raise MemoryError(
            f"Memory ran out in {purpose}. Lower --{' or --'.join(names)}, or "
            "end other programs that use the GPU (nvidia-smi lists them). "
            f"TensorFlow says: {reason}"
        ) from error
