"""Free nats, and predictions without observations."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.training.evaluation import CONTEXT

TINY = config.Config(
    conv_depth=2, model_size=8, state_size=4, num_layers=1, num_units=8
)


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    # Without the noise of samples, every difference has a cause.
    return build.world_model(dataclasses.replace(TINY, mean_only=True), 2)


def _batch(T=8):
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, [2, T, 64, 64, 3], np.uint8),
        "action": rng.uniform(-1, 1, [2, T, 2]).astype(np.float32),
        "reward": rng.normal(size=[2, T]).astype(np.float32),
    }


def _predict(model, batch):
    batch = {key: tf.constant(value) for key, value in batch.items()}
    return model.open_loop(batch, tf.constant([1, 2]), CONTEXT)[0]


def _reward(found):
    return found.open.values["reward"].numpy()


def test_open_loop_sees_five_images_and_all_actions(model):
    """A prediction that peeks looks excellent and means nothing."""
    batch = _batch()
    before = _predict(model, batch)
    later = {**batch, "image": batch["image"].copy()}
    later["image"][:, CONTEXT:] = 255 - later["image"][:, CONTEXT:]
    after = _predict(model, later)
    np.testing.assert_array_equal(before.open.image, after.open.image)
    np.testing.assert_array_equal(_reward(before), _reward(after))
    seen = {**batch, "image": batch["image"].copy()}
    seen["image"][:, CONTEXT - 1] = 255 - seen["image"][:, CONTEXT - 1]
    change = np.abs(_reward(_predict(model, seen)) - _reward(before))
    assert change[:, : CONTEXT - 1].max() == 0
    assert change[:, CONTEXT - 1 :].min() > 0
    moved = {**batch, "action": batch["action"].copy()}
    moved["action"][:, 6] *= -1
    change = np.abs(_reward(_predict(model, moved)) - _reward(before))
    # Action t leads to row t: nothing before it moves, and it does.
    assert change[:, :6].max() == 0
    assert change[:, 6:].min() > 0


def test_free_nats_are_per_step(model):
    """On the mean, one step's slack would be lent to another."""
    kl = tf.Variable([2.0, 5.0])
    with tf.GradientTape() as tape:
        cost = tf.reduce_mean(model._beyond_free_nats(kl))
    assert float(cost) == 1.0
    np.testing.assert_array_equal(tape.gradient(cost, kl), [0.0, 0.5])
