"""A tiny run in a folder, as training would leave it, without training."""

import dataclasses

import numpy as np
import tensorflow as tf

from planet_tf import build, config, run_folder
from planet_tf.tools.replay import Replay
from planet_tf.training.checkpoint import Checkpoint, Position
from planet_tf.training.learner import Learner

TINY = dataclasses.replace(
    config.PRESETS["debug"],
    planner_amount=16,
    planner_topk=4,
    planner_iterations=2,
    planner_horizon=3,
)


def make(logdir, values=TINY, updates=(3, 7)):
    """Writes config, an episode, and checkpoints of different weights.

    Returns:
        The model of the last checkpoint.
    """
    config.save(values, logdir / "config.yaml")
    episode(logdir, values.tasks[0])
    shapes = {"image": (64, 64, 3), "position": (5,)}
    for number in updates:
        tf.keras.utils.set_random_seed(number)
        model = build.world_model(values, 2, shapes)
        optimizer = Learner(model).optimizer
        Checkpoint(logdir / "checkpoints", model, optimizer).save(
            Position(number)
        )
    return model


def episode(logdir, task="cup_catch", rows=5):
    """Records an episode with two action dimensions."""
    arrays = {
        "image": np.zeros([rows, 64, 64, 3], np.uint8),
        "action": np.zeros([rows, 2], np.float32),
        "reward": np.zeros([rows], np.float32),
        "position": np.zeros([rows, 5], np.float32),
    }
    return Replay(logdir / "train_episodes").add(arrays, task)


def delete_meanwhile(monkeypatch, logdir):
    """Lets `run_folder.find` first name a checkpoint that is gone by then.

    Returns:
        A list that grows by every `Run` that is found.
    """
    find, found = run_folder.find, []

    def late(*args):
        run = find(*args)
        if not found:
            run = run._replace(checkpoint=logdir / "checkpoints" / "ckpt-5")
        found.append(run)
        return run

    monkeypatch.setattr(run_folder, "find", late)
    return found
