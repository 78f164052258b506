"""Silence where TensorFlow has nothing to say; it is imported only then."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def without_cuda_complaints() -> Iterator[None]:
    """Hides what TensorFlow's C++ side prints where there is no NVIDIA GPU.

    It is imported in here. It reports the missing driver as errors, and no log
    level hides them all.
    """
    if pathlib.Path("/dev/nvidiactl").exists():
        yield
        return
    shown = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # Else it complains later.
    finally:
        os.dup2(shown, 2)
        os.close(shown)
