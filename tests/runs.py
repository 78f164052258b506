"""The folders of runs: made without training, and compared bit by bit."""

import dataclasses
import json

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorflow.python.framework import config as framework

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

# Rounds of 2, 1 and 1 updates, each with an episode, and no test.
FOUR_UPDATES = dataclasses.replace(
    config.PRESETS["debug"],
    tasks=("tests.fakes:SeededWorld",),
    action_repeat=1,
    batch_shape=(2, 3),
    conv_depth=1,
    # So that other weights choose other actions.
    main_learning_rate=0.03,
    planner_amount=100,
    planner_topk=5,
    planner_horizon=1,
    planner_iterations=1,
    train_steps=10,
    test_steps=2,
    max_steps=8,
    collect_every=2,
    center_images=True,
    image_loss_every=2,
    prior_divergence_scale=1.0,
    conv_activation="elu",
    normalize_embed=True,
    deterministic=True,
)


def eager():
    """For a fixture: eager, because compiling takes longer than the rest."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
    framework.disable_op_determinism()


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


def assert_same(reference, logdir, updates):
    """Everything in two folders but the time is the same.

    Args:
        reference: A folder.
        logdir: Another one.
        updates: After which a line was logged.
    """
    metrics = _metrics(reference)
    assert [x["updates"] for x in metrics] == updates
    assert _metrics(logdir) == metrics
    for read in (_episodes, _checkpoints, _videos, events):
        expected, found = read(reference), read(logdir)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_equal(found[name], value, str(name))


def events(logdir):
    """Steps and values of every tag as TensorBoard would show them."""
    guidance = {plugin_event_accumulator.TENSORS: 0}  # All of them.
    reader = plugin_event_accumulator.EventAccumulator(
        str(logdir),
        guidance,
        dict.fromkeys(("scalars", "images", "histograms"), 0),
    ).Reload()
    return {
        tag: [
            (event.step, event.tensor_proto.SerializeToString())
            for event in reader.Tensors(tag)
        ]
        for tag in reader.Tags()[plugin_event_accumulator.TENSORS]
        if "time" not in tag.partition("/")[0]
    }


def _episodes(logdir):
    """By folder, number and task; file names hold the time as well."""
    result = {}
    for path in logdir.glob("*_episodes/*.npz"):
        with np.load(path) as file:
            result[path.parent.name, *path.name.split("-")[:2]] = dict(file)
    return result


def _metrics(logdir):
    lines = (logdir / "metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    return [
        {k: v for k, v in x.items() if "time" not in k.partition("/")[0]}
        for x in points
    ]


def _checkpoints(logdir):
    """Every tensor of every checkpoint, and the positions without the time."""
    result = {}
    for path in logdir.glob("checkpoints/**/*.index"):
        reader = tf.train.load_checkpoint(str(path.with_suffix("")))
        names = set(reader.get_variable_to_shape_map())
        # Holds the names that Keras gives, which count up within a process.
        for name in names - {"_CHECKPOINTABLE_OBJECT_GRAPH"}:
            value = reader.get_tensor(name)
            if name.startswith("position/"):
                value = json.loads(value) | {"seconds": None}
            result[path.relative_to(logdir), name] = value
    return result


def _videos(logdir):
    return {p.name: p.read_bytes() for p in logdir.glob("**/*.gif")}
