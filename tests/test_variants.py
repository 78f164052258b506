"""Variants of the agent from seed episodes to videos, on real pixels.

`test_train.py` runs the default agent as a command. Here, tiny runs in this
process reach what it leaves out: the other models, all six tasks, and every
option that adds a term, a head or a collector.
"""

import json

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from planet_tf import build, config_flags
from planet_tf import config as configs
from planet_tf.control import rendering
from planet_tf.training import trainer
from planet_tf.training.checkpoint import Checkpoint, Position
from planet_tf.training.learner import Learner

SIX = (
    "cartpole_swingup,reacher_easy,cheetah_run,finger_spin,cup_catch,"
    "walker_walk"
)
TINY = (
    "--config=debug",
    "--action_repeat=100",
    "--batch_shape=2,6",
    "--conv_depth=1",
    "--planner_amount=4",
    "--planner_horizon=2",
    "--train_steps=4",
    "--test_steps=2",
    "--max_steps=6",
    "--collect_every=2",
)


def _config(*arguments):
    values = flags.FlagValues()
    config_flags.define(values)
    values(["train", *TINY, *arguments])
    return config_flags.read(values)


def _run(logdir, *arguments):
    """Two updates, a collection after the second, and a test."""
    rendering.choose_backend()
    config = _config(*arguments)
    trainer.train(config, logdir)
    lines = (logdir / "metrics.jsonl").read_text().splitlines()
    (metrics,) = [json.loads(line) for line in lines]
    assert metrics["updates"] == 2 and metrics["train/skipped"] == 0
    assert np.isfinite(np.hstack(list(metrics.values()))).all()
    return metrics, config


def _names(logdir):
    return sorted(path.name for path in logdir.iterdir())


def test_ssm_with_every_term_and_head(tmp_path):
    """Overshooting, both divergences, and heads with and without gradient."""
    metrics, _ = _run(
        tmp_path,
        "--task=cup_catch",
        "--model=ssm",
        "--overshooting_scale=1",
        "--overshooting_reward_scale=2",
        "--overshooting_distance=3",
        "--global_div_scale=0.1",
        "--state_diagnostics",
        "--gradient_heads=image,reward,position",
        "--train_collects=[{iterations: 0, action_noise: 1.0}]",
    )
    terms = {"overshooting", "overshooting_reward", "global_divergence"}
    terms |= {"position", "velocity"}
    assert {f"train/{x}" for x in terms} <= set(metrics)
    assert {f"test/{x}" for x in terms} <= set(metrics)
    assert metrics["episodes"] == 2 and metrics["env_steps"] == 2000
    assert {"test_open_loop.gif", "test_cup_catch.gif"} <= set(_names(tmp_path))


def test_drnn_with_several_collectors(tmp_path):
    """One in a batch of two worlds; two planners; one that is never due.

    All of them play beside the updates.
    """
    metrics, _ = _run(
        tmp_path,
        "--task=cup_catch",
        "--model=drnn",
        "--drnn_encoder_to_decoder",
        "--drnn_decoder_to_encoder",
        "--drnn_action_to_decoder",
        "--nodrnn_sample_to_encoder",
        "--nodrnn_decoder_to_sample",
        "--encode_motion",
        "--value_loss_scale=1",
        "--train_collects=[{}, {name: both, batch_size: 2, topk: 1,"
        " iterations: 1, objective: disagreement}, {name: late, after: 4}]",
        "--test_collects=[{}, {name: noisy, action_noise: 0.5}]",
        "--collect_while_training",
    )
    scores = {name for name in metrics if name.endswith("/score")}
    expected = {"train", "train_both", "test", "test_noisy"}
    assert scores == {f"{name}/score" for name in expected}
    assert {
        "train/value",
        "test/value",
        "train/ensemble",
        "test/disagreement",
    } <= set(metrics)
    # One to start with, one of the first collector, two of the second.
    assert metrics["episodes"] == 4
    assert len(list(tmp_path.glob("test_episodes/*.npz"))) == 3


def test_one_agent_on_six_tasks(tmp_path):
    """Padded actions, one replay, returns of each; without latent samples."""
    metrics, config = _run(
        tmp_path,
        f"--tasks={SIX}",
        "--mean_only",
        "--divergence_scale=0",
        "--nofuture_rnn",
        "--model_layers=2",
        "--activation=elu",
        "--min_stddev=0.2",
    )
    for task in config.tasks:
        assert {f"train/return_{task}", f"test/return_{task}"} <= set(metrics)
        assert f"test_{task}.gif" in _names(tmp_path)
        paths = list(tmp_path.glob(f"*_episodes/*{task}*.npz"))
        assert len(paths) == 4
        for path in paths:
            with np.load(path) as episode:
                assert episode["action"].shape == (11, 6)
    assert metrics["episodes"] == 12


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model=ssm", "--state_diagnostics"],
        ["--model=drnn", "--drnn_encoder_to_decoder"],
        ["--value_loss_scale=1", "--collect_objective=disagreement"],
    ],
)
def test_resumed_variants_go_on_bit_by_bit(tmp_path, arguments):
    """What a checkpoint lacks would start again from its initial value."""
    config = _config(*arguments)
    rng = np.random.default_rng(0)
    shapes = {"action": [2, 3, 2], "reward": [2, 3], "position": [2, 3, 4]}
    batch = {
        "image": tf.constant(rng.integers(0, 256, [2, 3, 64, 64, 3], np.uint8)),
        **{
            name: tf.constant(rng.normal(size=shape), tf.float32)
            for name, shape in shapes.items()
        },
    }

    def parts(seed):
        tf.keras.utils.set_random_seed(seed)
        model = build.world_model(config, 2, {"image": (), "position": (4,)})
        learner = Learner(model)
        checkpoint = Checkpoint(tmp_path, model, learner.optimizer)

        def step(number):
            noise = model.draw_noise(tf.constant([0, number]), 2, 3)
            assert learner.step(batch, noise)["skipped"] == 0
            return [np.asarray(x) for x in model.trainable_variables]

        return checkpoint, step

    checkpoint, step = parts(seed=0)
    step(0)
    checkpoint.save(Position(1))
    uninterrupted = step(1)
    checkpoint, step = parts(seed=1)
    assert checkpoint.restore().updates == 1
    for expected, resumed in zip(uninterrupted, step(1), strict=True):
        np.testing.assert_array_equal(expected, resumed)


def test_heads_that_do_not_train_the_model():
    """A flag that stops at the config would leave their gradients in."""
    config = _config("--state_diagnostics", "--gradient_heads=image,velocity")
    worlds = {"image": (), "position": (4,), "velocity": (4,)}
    model = build.world_model(config, 2, worlds)
    own, *apart = model.variable_groups
    heads = model.diagnostics
    assert [{id(v) for v in group} for group in apart] == [
        {id(v) for v in head.trainable_variables}
        for head in (model.reward, heads["position"])
    ]
    assert len(own) + sum(map(len, apart)) == len(model.trainable_variables)
    config = _config("--state_diagnostics", "--gradient_heads=image,speed")
    with pytest.raises(configs.ConfigError, match="no head 'speed', only ima"):
        build.world_model(config, 2, worlds)
    with pytest.raises(configs.ConfigError, match="cup_catch shows nothing"):
        # Which episodes have the second depends on how they ended.
        build.world_model(config, 2, {"image": (), "terminated": ()})
