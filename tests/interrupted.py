"""`planet_tf.train` in a process that a fault ends at a chosen point.

    python -m tests.interrupted POINT COUNT [flags of planet_tf.train]

The fault strikes when POINT is reached for the COUNT-th time. "never" runs on
to the end. Functions run eagerly, because compiling them takes longer than
the whole run.
"""

import io
import os
import signal
import sys

import numpy as np
import tensorflow as tf

from planet_tf import command, train
from planet_tf.control.workers import Worker
from planet_tf.tools.summaries import Logger
from planet_tf.training.learner import Learner


def die() -> None:
    """As when memory runs out, or the machine is taken away."""
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    """As a scheduler does; takes effect at the next safe moment."""
    os.kill(os.getpid(), signal.SIGTERM)


def before(fault):
    """Strikes instead of the function."""
    return lambda function, *args, **kwargs: fault()


def after(fault):
    """Strikes once the function is done."""

    def call(function, *args, **kwargs):
        result = function(*args, **kwargs)
        fault()
        return result

    return call


def _in_episode_write(function, file, **arrays):
    buffer = io.BytesIO()
    function(buffer, **arrays)
    data = buffer.getvalue()
    file.write(data[: len(data) // 2])
    file.flush()
    die()


def _in_checkpoint_write(function, checkpoint, path):
    function(checkpoint, path)
    index = path + ".index"
    os.truncate(index, os.path.getsize(index) // 2)
    die()


# Where each point is, and what happens there.
POINTS = {
    "decision": (Worker, "step", before(die)),
    "terminated decision": (Worker, "step", after(terminate)),
    "episode write": (np, "savez_compressed", _in_episode_write),
    "checkpoint write": (tf.train.Checkpoint, "write", _in_checkpoint_write),
    "log": (Logger, "scalars", after(die)),
    "update": (Learner, "update", after(die)),
    "terminated update": (Learner, "update", after(terminate)),
}


def strike(point: str, count: int) -> None:
    """Makes the fault happen when `point` is reached for the n-th time."""
    owner, name, fault = POINTS[point]
    function = getattr(owner, name)
    reached = 0

    def counted(*args, **kwargs):
        nonlocal reached
        reached += 1
        if reached == count:
            return fault(function, *args, **kwargs)
        return function(*args, **kwargs)

    setattr(owner, name, counted)


if __name__ == "__main__":
    point, count = sys.argv[1], int(sys.argv[2])
    tf.config.run_functions_eagerly(True)
    if point != "never":
        strike(point, count)
    train.define_flags()
    del sys.argv[1:3]
    command.run(train.main)
