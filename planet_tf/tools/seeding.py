"""Random streams without state: every draw comes from a name and a counter.

A run that resumes needs to restore no generator: update 1,234 draws the same
noise whenever it happens. Streams with different names are independent.
"""

import zlib

import numpy as np


def fold(seed: int, name: str, index: int) -> np.ndarray:
    """An int32 [2] seed for the `index`-th use of stream `name` in a run.

    Args:
        seed: The run's, >= 0.
        name: Of the stream, such as "update" or "test_episode".
        index: >= 0.
    """
    entropy = [seed, zlib.crc32(name.encode()), index]
    state = np.random.SeedSequence(entropy).generate_state(2)
    return state.astype(np.int32)


def fold_int(seed: int, name: str, index: int) -> int:
    """As `fold`, one integer in [0, 2**31)."""
    return int(fold(seed, name, index)[0]) & 0x7FFFFFFF
