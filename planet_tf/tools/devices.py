"""What TensorFlow computes on, and how work is divided over cores.

TensorFlow runs an operation on all cores at once, and all of them wait for the
slowest. Here a graph has one branch for each core instead, which goes through
its share of the batch alone: the same arithmetic, without the waiting.
"""

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from planet_tf import machine

_MOST = 8  # Every branch is traced and takes memory.
_branches = 1


def prepare(branches: bool = True) -> None:
    """Sets TensorFlow up for the GPU or the cores here.

    A process calls this before it computes anything; otherwise threads stay as
    they are, and graphs have one branch. A GPU's memory is taken as needed.

    Args:
        branches: Whether to have more than one.
    """
    global _branches
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    cores = machine.cores()
    # One core TensorFlow finds itself, unless it is a container's quota.
    if gpus or not branches or len(os.sched_getaffinity(0)) == 1:
        return
    count = min(cores, _MOST)
    try:
        tf.config.threading.set_inter_op_parallelism_threads(count)
        tf.config.threading.set_intra_op_parallelism_threads(cores // count)
    except RuntimeError:  # Something was computed; its threads stay.
        return
    _branches = count


def gpu_names() -> list[str]:
    """What TensorFlow's GPUs are called; none on a CPU."""
    details = map(
        tf.config.experimental.get_device_details,
        tf.config.list_physical_devices("GPU"),
    )
    return [detail.get("device_name", "GPU") for detail in details]


def in_branches(function: Callable[..., Any], *inputs: Any) -> Any:
    """Applies a function to the rows of a batch, in parallel.

    Args:
        function: Of structures of [b, ...], to a structure of the same b;
            what comes out of a row must not depend on the other rows.
        *inputs: Structures of [B, ...] with B static; leaves may be None.

    Returns:
        What `function(*inputs)` returns.
    """
    leaves = tf.nest.flatten(inputs)
    B = next(x.shape[0] for x in leaves if x is not None)
    count = min(_branches, B)
    if count == 1:
        return function(*inputs)
    sizes = [B // count + (i < B % count) for i in range(count)]
    parts = [
        [None] * count if x is None else tf.split(x, sizes) for x in leaves
    ]
    outputs = [
        function(*tf.nest.pack_sequence_as(inputs, part))
        for part in zip(*parts, strict=True)
    ]
    return tf.nest.map_structure(lambda *x: tf.concat(x, 0), *outputs)
