"""The plain Keras graph computes what ours does: only then is it a measure."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.control.planning import cross_entropy_method
from scripts import plain

TINY = config.Config(
    conv_depth=2,
    model_size=16,
    state_size=4,
    num_layers=1,
    num_units=16,
    planner_amount=20,
    planner_topk=5,
    planner_iterations=2,
    planner_horizon=3,
)
SEED = tf.constant([0, 1])


@pytest.mark.parametrize(
    "changes", [{}, {"future_rnn": False, "model_layers": 2, "mean_only": True}]
)
def test_results_are_the_same(changes):
    """Loss, gradients and plan, with the same weights and noise."""
    tiny = dataclasses.replace(TINY, **changes)
    rng = np.random.default_rng(0)
    batch = {
        "image": tf.constant(rng.integers(0, 256, [2, 3, 64, 64, 3], np.uint8)),
        "action": tf.constant(rng.uniform(-1, 1, [2, 3, 2]), tf.float32),
        "reward": tf.constant(rng.normal(size=[2, 3]), tf.float32),
    }
    found = []
    for make in (build.world_model, plain.world_model):
        tf.keras.utils.set_random_seed(0)
        model = make(tiny, 2)
        for i, variable in enumerate(model.trainable_variables):
            if len(variable.shape) == 1:  # Zeros would hide a lost bias.
                variable.assign_add(0.1 * rng_like(i, variable.shape))
        noise = model.draw_noise(SEED, 2, 3)
        with tf.GradientTape() as tape:
            loss, metrics = model.loss(batch, noise)
        gradients = tape.gradient(loss, model.trainable_variables)
        agent = build.agent(tiny, model, 2)
        noise = agent.draw_noise(SEED, 1)
        objective = agent.predicted_return(
            model.dynamics.initial(1), noise.latent
        )
        plan = cross_entropy_method(objective, noise.plan, elites=5)
        found.append((metrics, gradients, plan))
    assert type(model.image) is plain.Decoder
    assert type(model.dynamics) is plain.RSSM
    ours, theirs = map(tf.nest.flatten, found)
    for a, b in zip(ours, theirs, strict=True):
        scale = float(tf.reduce_max(tf.abs(a)))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * scale)


def rng_like(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
