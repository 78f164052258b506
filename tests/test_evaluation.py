"""Held-out errors against the same computed with NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.models.world_model import Noise
from planet_tf.tools.preprocess import preprocess
from planet_tf.training.evaluation import CONTEXT, Holdout, holdout, merged

TINY = config.Config(
    conv_depth=2, model_size=8, state_size=4, num_layers=1, num_units=8
)
SEED = np.array([1, 2], np.int32)
T = 11


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    return build.world_model(dataclasses.replace(TINY, mean_only=True), 2)


def _batch(number):
    rng = np.random.default_rng(number)
    return {
        "image": rng.integers(0, 256, [2, T, 64, 64, 3], np.uint8),
        "action": rng.uniform(-1, 1, [2, T, 2]).astype(np.float32),
        "reward": rng.normal(size=[2, T]).astype(np.float32),
    }


def _by_hand(model, batch, number):
    """Errors [B, T - 5] of predictions made one step at a time."""
    # Each batch has noise of its own.
    seed = tf.random.fold_in(tf.constant(SEED), number)
    noise: Noise = model.draw_noise(seed, 2, T)
    embed = model.encoder(preprocess(batch["image"], 5, noise.image))
    _, post = model.dynamics.observe(embed, batch["action"], (None, None))
    state = tf.nest.map_structure(lambda x: x[:, CONTEXT - 1], post)
    truth = np.floor(batch["image"] / 8) / 32
    errors = {name: [] for name in ("image", "reward", "kl")}
    for t in range(CONTEXT, T):
        prior = model.dynamics.imagine(
            batch["action"][:, t : t + 1], None, state
        )
        state = tf.nest.map_structure(lambda x: x[:, 0], prior)
        features = model.dynamics.features(state)
        image = model.image(features).numpy()
        image = np.clip(np.floor(32 * (image + 0.5)) / 32, 0, 1)
        errors["image"].append(np.abs(image - truth[:, t]).mean((1, 2, 3)))
        reward = model.reward(features).numpy()
        errors["reward"].append(np.abs(reward - batch["reward"][:, t]))
        m, s = post.mean[:, t].numpy(), post.std[:, t].numpy()
        m0, s0 = state.mean.numpy(), state.std.numpy()
        kl = np.log(s0 / s) + (s**2 + (m - m0) ** 2) / (2 * s0**2) - 0.5
        errors["kl"].append(kl.sum(-1))
    return {name: np.stack(values, 1) for name, values in errors.items()}


def test_errors_by_step(model):
    """Off by one step, or averaged over the wrong axis, looks plausible."""
    batches = [_batch(0), _batch(1)]
    found = holdout(model, batches, SEED)
    expected = [_by_hand(model, b, i) for i, b in enumerate(batches)]
    for name in ("image", "reward", "kl"):
        curve = np.concatenate([x[name] for x in expected]).mean(0)
        assert curve.shape == (T - CONTEXT,)
        np.testing.assert_allclose(
            found.curves[f"open_loop/{name}_by_step"], curve, rtol=1e-4
        )
        metrics = {
            k.removeprefix(f"open_loop/{name}"): v
            for k, v in found.metrics.items()
        }
        assert metrics[""] == pytest.approx(curve.mean(), rel=1e-4)
        assert metrics["_at_1"] == pytest.approx(curve[0], rel=1e-4)
        assert metrics["_at_5"] == pytest.approx(curve[4], rel=1e-4)
        assert "_at_15" not in metrics, "there are only six predictions"


def test_repeated_frame_is_the_last_one_seen(model):
    """The baseline must not know more, or less, than the model does."""
    batch = _batch(0)
    batch["image"][:] = (8 * np.arange(T, dtype=np.uint8))[:, None, None, None]
    batch["reward"][:] = np.arange(T) ** 2
    curves = holdout(model, [batch], SEED).curves
    steps = np.arange(1, T - CONTEXT + 1)
    np.testing.assert_allclose(
        curves["open_loop/image_repeat_by_step"], steps / 32, rtol=1e-5
    )
    np.testing.assert_allclose(
        curves["open_loop/reward_repeat_by_step"],
        (CONTEXT - 1 + steps) ** 2 - (CONTEXT - 1) ** 2,
    )


def test_closed_loop_sees_what_it_should(model):
    """The prior all images before, the posterior the present one as well."""
    batch = _batch(0)
    before = holdout(model, [batch], SEED).predictions
    batch["image"][:, 7] = 255 - batch["image"][:, 7]
    after = holdout(model, [batch], SEED).predictions
    first = {
        name: int(
            np.flatnonzero(
                getattr(before, name).values["reward"][0]
                != getattr(after, name).values["reward"][0]
            )[0]
        )
        for name in ("prior", "post")
    }
    assert first == {"prior": 8, "post": 7}


def test_closed_loop_moments(model):
    """Those of the posterior agree with the loss, which uses it as well."""
    batch = _batch(0)
    found = holdout(model, [batch], SEED)
    metrics, post = found.metrics, found.predictions.post
    for head in ("image", "reward"):
        assert metrics[f"closed_loop/post_{head}_log_prob"] == pytest.approx(
            metrics[f"test/{head}"], rel=1e-5
        )
    for source in ("prior", "post"):
        for name in ("entropy", "std"):
            assert metrics[f"closed_loop/{source}_{name}"] == pytest.approx(
                metrics[f"test/{source}_{name}"], rel=1e-5
            )
    reward = post.values["reward"]
    error = np.abs(reward - batch["reward"]).mean()
    assert metrics["closed_loop/post_reward"] == pytest.approx(error, rel=1e-5)
    assert metrics["closed_loop/post_reward_mean"] == pytest.approx(
        reward.mean(), rel=1e-5
    )


def test_tasks_are_averaged_and_kept_apart():
    """A mean over tasks alone hides the one that fails."""
    names = ("image", "reward", "kl")
    found = {
        task: Holdout(
            {"test/loss": x, **{f"open_loop/{name}": x for name in names}},
            {"open_loop/kl_by_step": np.array([x, 2 * x])},
            {},
            None,
        )
        for task, x in (("a", 1.0), ("b", 3.0))
    }
    metrics, curves = merged(found)
    assert metrics["test/loss"] == metrics["open_loop/kl"] == 2
    assert metrics["open_loop/kl_a"] == 1
    assert metrics["open_loop/image_b"] == 3
    np.testing.assert_array_equal(curves["open_loop/kl_by_step"], [2, 4])
    metrics, _ = merged({"a": found["a"]})
    assert "open_loop/kl_a" not in metrics
