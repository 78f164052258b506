"""The gradient step: what it minimises, clips, skips and compiles."""

import dataclasses

import numpy as np
import tensorflow as tf

from planet_tf import build, config
from planet_tf.training.learner import Learner

TINY = config.Config(
    conv_depth=4, model_size=16, state_size=4, num_layers=1, num_units=16
)


def _batch(reward=None):
    """Two sequences in which a bright square moves to where action points."""
    rng = np.random.default_rng(0)
    image = np.full([2, 6, 64, 64, 3], 40, np.uint8)
    action = rng.uniform(-1, 1, [2, 6, 1]).astype(np.float32)
    for b in range(2):
        for t in range(6):
            x = int(24 + 20 * action[b, t, 0])
            image[b, t, 24:40, x : x + 16] = 220
    reward = action[..., 0] if reward is None else reward
    return {
        "image": tf.constant(image),
        "action": tf.constant(action),
        "reward": tf.constant(reward, tf.float32),
    }


def _learner(**changes):
    tf.keras.utils.set_random_seed(1)
    model = build.world_model(dataclasses.replace(TINY, **changes), 1)
    return model, Learner(model)


def test_overfits_one_batch_in_one_trace():
    """The whole model can learn: image, reward and latent path together."""
    _, learner = _learner()
    batch = _batch()
    losses = [learner.update(batch, tf.constant([0, i])) for i in range(300)]
    # Minus 11,291.9 for a perfect image, and half a nat of dequantising noise.
    missing = [-11_292.4 - float(x["image"]) for x in losses]
    assert missing[-1] < 0.15 * missing[0], missing[::50]
    assert float(losses[-1]["reward"]) > -0.95  # -0.919 is perfect.
    assert learner.update.experimental_get_tracing_count() == 1
    assert sum(float(x["skipped"]) for x in losses) == 0


def test_loss_is_the_weighted_sum():
    """Scales, signs and free nats of the objective."""
    model, _ = _learner()
    noise = model.draw_noise(tf.constant([0, 1]), 2, 6)
    loss, metrics = model.loss(_batch(), noise)
    expected = (
        -metrics["image"] - 10 * metrics["reward"] + metrics["divergence"]
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    model, _ = _learner(free_nats=None, reward_loss_scale=2.0)
    loss, metrics = model.loss(_batch(), noise)
    np.testing.assert_allclose(metrics["divergence"], metrics["kl"], rtol=1e-6)
    expected = -metrics["image"] - 2 * metrics["reward"] + metrics["kl"]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_update_without_finite_gradient_is_skipped():
    """One broken batch must not destroy the weights or Adam's moments."""
    model, learner = _learner()
    learner.update(_batch(), tf.constant([0, 0]))
    variables = model.trainable_variables + learner.optimizer.variables
    before = [v.numpy() for v in variables]
    for bad in (np.nan, np.inf):
        metrics = learner.update(
            _batch(reward=np.full([2, 6], bad)), tf.constant([0, 1])
        )
        assert float(metrics["skipped"]) == 1
    for value, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    metrics = learner.update(_batch(), tf.constant([0, 2]))
    assert float(metrics["skipped"]) == 0


def test_adam_adds_epsilon_to_the_uncorrected_root():
    """PyTorch's convention gives steps that differ by a factor here."""
    variable = tf.Variable([1.0, -2.0])

    class Model:
        trainable_variables = [variable]
        variable_groups = [[variable]]

    optimizer = Learner(Model()).optimizer
    expected, m, v = variable.numpy().astype(np.float64), 0.0, 0.0
    for t in range(1, 6):
        gradient = np.array([1e-3, -3e-4]) * t
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        rate = 1e-3 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected = expected - rate * m / (np.sqrt(v) + 1e-4)
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)
