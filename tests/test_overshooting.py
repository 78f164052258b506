"""Latent overshooting against plain loops."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.models import cell
from planet_tf.models.overshooting import overshoot


class _State(NamedTuple):
    stoch: tf.Tensor


class _Adding:
    """The original unit test's mock: state plus action is the next state."""

    def initial(self, batch):
        return _State(tf.zeros([batch, 1]))

    def imagine(self, action, noise, state):
        return _State(state.stoch[:, None] + tf.cumsum(action, axis=1))


def _overshoot(post, action, steps=4):
    post, action = np.float32(post), np.float32(action)
    post = _State(tf.constant(post[None, :, None]))
    prior, target, mask = overshoot(
        _Adding(), tf.constant(action[None, :, None]), post, None, steps, post
    )
    prior, target = prior.stoch[0, :, :, 0], target.stoch[0, :, :, 0]
    # By steps ahead, zero where there is nothing to predict.
    return (mask[0] * prior).numpy().T, (mask[0] * target).numpy().T


def test_original_fixture():
    """Which state, which actions and which target belong together."""
    prior, target = _overshoot(
        [10, 20, 30, 40, 50, 60], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    )
    expected = [
        [0, 10.1, 20.2, 30.3, 40.4, 50.5],
        [0.1, 10.3, 20.5, 30.7, 40.9, 0],
        [0.3, 10.6, 20.9, 31.2, 0, 0],
        [0.6, 11.0, 21.4, 0, 0, 0],
    ]
    np.testing.assert_allclose(prior, expected, rtol=1e-6)
    expected = [
        [10, 20, 30, 40, 50, 60],
        [20, 30, 40, 50, 60, 0],
        [30, 40, 50, 60, 0, 0],
        [40, 50, 60, 0, 0, 0],
    ]
    np.testing.assert_array_equal(target, expected)


def test_more_steps_than_time():
    """Nothing is predicted past the end, however far one looks."""
    prior, _ = _overshoot([70, 80], [9, 0.7])
    np.testing.assert_allclose(prior, [[9, 70.7], [9.7, 0], [0, 0], [0, 0]])


TINY = {
    "conv_depth": 2,
    "model_size": 6,
    "state_size": 3,
    "num_layers": 1,
    "num_units": 5,
    "overshooting_scale": 0.7,
    "overshooting_reward_scale": 0.3,
    "overshooting_distance": 3,
    "free_nats": 0.01,
}
B, T, D = 2, 5, 3


def _batch():
    rng = np.random.default_rng(0)
    return {
        "image": tf.constant(rng.integers(0, 256, [B, T, 64, 64, 3], np.uint8)),
        "action": tf.constant(rng.uniform(-1, 1, [B, T, 2]).astype("f4")),
        "reward": tf.constant(rng.uniform(0, 1, [B, T]).astype("f4")),
    }


@pytest.mark.parametrize("kind", ["rssm", "ssm", "drnn"])
def test_naive_double_loop(kind):
    """Mask, distances, denominator and free nats of the loss terms."""
    options = dict(TINY, model=kind)
    model = build.world_model(config.Config(**options), 2)
    batch = _batch()
    noise = model.draw_noise(tf.constant([0, 1]), B, T)
    steps, _, post = model.objectives(batch, noise)
    total = rewards = 0.0
    for t in range(T):
        state = model.dynamics.initial(B)
        if t:
            state = tf.nest.map_structure(lambda x, t=t: x[:, t - 1], post)
        for k in range(D):
            if t + k >= T:
                break
            eps = noise.overshooting[:, t, k : k + 1]
            action = batch["action"][:, t + k : t + k + 1]
            prior = model.dynamics.imagine(action, eps, state)
            state = tf.nest.map_structure(lambda x: x[:, 0], prior)
            target = tf.nest.map_structure(lambda x, i=t + k: x[:, i], post)
            expected = model.reward(model.dynamics.features(state))
            off = expected - batch["reward"][:, t + k]
            rewards -= np.sum(off**2 / 2 + np.log(2 * np.pi) / 2)
            if k:
                kl = cell.kl_divergence(target, state)
                total += np.maximum(0, kl - 0.01).sum()
    mean = tf.reduce_mean(steps["overshooting"])
    np.testing.assert_allclose(mean, total / (B * T * (D - 1)), rtol=1e-4)
    count = B * sum(T - k for k in range(D))
    mean_reward = tf.reduce_mean(steps["overshooting_reward"])
    np.testing.assert_allclose(mean_reward, rewards / count, rtol=1e-4)
    loss, metrics = model.loss(batch, noise)
    expected = (
        -metrics["image"]
        - 10 * metrics["reward"]
        + metrics["divergence"]
        + 0.7 * mean
        - 0.3 * mean_reward
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_costs_nothing_when_off():
    """No noise is drawn and no term computed without a weight."""
    scales = ("overshooting_scale", "overshooting_reward_scale")
    options = TINY | dict.fromkeys(scales, 0.0)
    model = build.world_model(config.Config(**options), 2)
    noise = model.draw_noise(tf.constant([0, 1]), B, T)
    assert noise.overshooting is None
    steps, _, _ = model.objectives(_batch(), noise)
    assert set(steps) == {"image", "reward", "kl", "divergence"}


@pytest.mark.parametrize("heads", [("image", "reward"), ("image",)])
def test_rewards_ahead_train_dynamics(heads):
    """Unless rewards are not to; the head learns in any case."""
    options = TINY | {
        "overshooting_scale": 0.0,
        "reward_loss_scale": 0.0,
        "gradient_heads": heads,
    }
    model = build.world_model(config.Config(**options), 2)
    noise = model.draw_noise(tf.constant([0, 1]), B, T)
    with tf.GradientTape() as tape:
        steps, _, _ = model.objectives(_batch(), noise)
        loss = tf.reduce_mean(steps["overshooting_reward"])
    assert "overshooting" not in steps
    parts = (model.dynamics.prior, model.encoder, model.reward)
    prior, encoder, head = tape.gradient(
        loss, [part.trainable_variables for part in parts]
    )
    trained = "reward" in heads
    assert all((g is not None) == trained for g in prior + encoder)
    assert all(g is not None for g in head)
    # A head that trains alone is clipped alone.
    assert len(model.variable_groups) == (1 if trained else 2)
