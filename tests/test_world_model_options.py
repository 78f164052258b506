"""Global divergence, diagnostics, heads without gradient, what images show."""

import numpy as np
import pytest
import tensorflow as tf

from planet_tf.models.disagreement import Ensemble
from planet_tf.models.rssm import RSSM
from planet_tf.models.value import Value
from planet_tf.models.world_model import WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder
from planet_tf.training.learner import Learner

B, T, A = 2, 3, 2


def _model(seed=0, channels=3, **options):
    tf.keras.utils.set_random_seed(seed)
    encoder = Encoder(2, channels=channels)
    dynamics = RSSM(A, encoder.embed_size, stoch=3, deter=6)
    size = dynamics.feature_size
    return WorldModel(
        dynamics,
        encoder,
        Decoder(size, 2),
        VectorHead(size, layers=1, units=5),
        **options,
    )


def _diagnostics():
    return {
        "position": VectorHead(9, (2,), 1, 5, name="head_position"),
        "height": VectorHead(9, (), 1, 5, name="head_height"),
    }


def _batch():
    rng = np.random.default_rng(0)
    return {
        "image": tf.constant(rng.integers(0, 256, [B, T, 64, 64, 3], np.uint8)),
        "action": tf.constant(rng.uniform(-1, 1, [B, T, A]).astype("f4")),
        "reward": tf.constant(rng.uniform(0, 1, [B, T]).astype("f4")),
        "position": tf.constant(rng.normal(0, 99, [B, T, 2]).astype("f4")),
        "height": tf.constant(rng.normal(0, 99, [B, T]).astype("f4")),
    }


def _noise(model):
    return model.draw_noise(tf.constant([0, 1]), B, T)


def test_global_divergence():
    """KL to the unit Gaussian, in closed form and without free nats."""
    model = _model(global_scale=0.5)
    batch = _batch()
    loss, metrics = model.loss(batch, _noise(model))
    _, _, post = model.objectives(batch, _noise(model))
    mean, std = post.mean.numpy(), post.std.numpy()
    kl = (mean**2 + std**2 - 1) / 2 - np.log(std)
    expected = kl.sum(-1).mean()
    np.testing.assert_allclose(
        metrics["global_divergence"], expected, rtol=1e-5
    )
    without, _ = _model().loss(batch, _noise(model))
    np.testing.assert_allclose(loss, without + 0.5 * expected, rtol=1e-6)


def test_diagnostics_learn_and_leave_the_model_alone():
    """Heads on frozen features: the model's updates stay bit by bit.

    The clip is so small, and the targets are so large, that the heads'
    gradients would shorten the model's if all were clipped as one.
    """
    batch = _batch()
    plain = _model()
    watched = _model(
        diagnostics=_diagnostics(),
        value=Value(VectorHead(9, layers=1, units=5), 0.9, 0.9),
        value_scale=100.0,
        ensemble=Ensemble([VectorHead(9 + A, (3,), 1, 5) for _ in range(2)]),
    )
    heads = [*watched.diagnostics.values(), watched.value, watched.ensemble]
    before = [v.numpy() for head in heads for v in head.trainable_variables]
    metrics = [
        [learner.step(batch, _noise(plain)) for _ in range(3)]
        for learner in (Learner(plain, clip=1.0), Learner(watched, clip=1.0))
    ]
    own = watched.variable_groups[0]
    assert len(own) == len(plain.trainable_variables)
    for ours, theirs in zip(plain.trainable_variables, own, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    after = [v.numpy() for head in heads for v in head.trainable_variables]
    assert any(np.any(x != y) for x, y in zip(before, after, strict=True))
    first, last = metrics[1][0], metrics[1][-1]
    assert last["position"] > first["position"]
    assert last["height"] > first["height"]
    assert last["ensemble"] > first["ensemble"]
    np.testing.assert_array_equal(
        metrics[0][-1]["grad_norm"], last["grad_norm"]
    )
    # What value and ensemble add would hide the model's.
    loss = metrics[0][-1]["loss"] - last["position"] - last["height"]
    np.testing.assert_allclose(last["loss"], loss, rtol=1e-5)


@pytest.mark.parametrize("trained", ["image", "reward", "position"])
def test_gradient_heads(trained):
    """Only the heads that are named train encoder and dynamics."""
    model = _model(diagnostics=_diagnostics(), gradient_heads=[trained])
    heads = {"image": model.image, "reward": model.reward, **model.diagnostics}
    batch = _batch()
    for name in heads:
        with tf.GradientTape() as tape:
            steps, _, _ = model.objectives(batch, _noise(model))
            loss = tf.reduce_mean(steps[name])
        inner = model.encoder.trainable_variables
        gradients = tape.gradient(loss, inner)
        assert all((g is not None) == (name == trained) for g in gradients)


@pytest.mark.parametrize("term, least", [("scale", 2), ("reward_scale", 1)])
def test_too_short_overshooting_is_refused(term, least):
    """One step ahead is the KL term; the mean over nothing is NaN."""
    options = {f"overshooting_{term}": 1.0}
    with pytest.raises(ValueError, match=f"must be at least {least}"):
        _model(**options, overshooting_distance=least - 1)
    _model(**options, overshooting_distance=least)


def test_prior_divergence_moves_the_prior():
    """Else it would also pull what was seen towards what was expected."""
    model = _model(image_scale=0, reward_scale=0, free_nats=9e9, prior_scale=2)
    # A single row, whose posterior no later prior depends on.
    batch = {key: value[:, :1] for key, value in _batch().items()}
    noise = model.draw_noise(tf.constant([0, 1]), B, 1)
    with tf.GradientTape() as tape:
        loss, metrics = model.loss(batch, noise)
    np.testing.assert_allclose(loss, 2 * metrics["prior_divergence"], 1e-6)
    np.testing.assert_allclose(metrics["prior_divergence"], metrics["kl"], 1e-6)
    dynamics = model.dynamics
    prior = dynamics.prior.trainable_variables
    others = dynamics.post.trainable_variables
    own, theirs = tape.gradient(
        loss, (prior, others), unconnected_gradients="zero"
    )
    assert all(np.abs(gradient).max() > 0 for gradient in own)
    assert all(np.abs(gradient).max() == 0 for gradient in theirs)


def test_images_of_some_rows():
    """The same log-probabilities as without the option, of fewer rows."""
    batch = _batch()
    sparse, whole = _model(image_every=2), _model()
    noise = _noise(sparse)
    every, _, _ = whole.objectives(batch, noise._replace(image_rows=None))
    some, _, _ = sparse.objectives(batch, noise)
    expected = np.take_along_axis(
        every["image"].numpy(), noise.image_rows.numpy(), 1
    )
    np.testing.assert_allclose(some["image"], expected, rtol=3e-6)
    np.testing.assert_array_equal(some["reward"], every["reward"])


@pytest.mark.parametrize("every, length", [(5, 25), (4, 25), (7, 25), (9, 6)])
def test_any_row_may_be_drawn(every, length):
    """A row that never counts, the last one say, would stay unlearnt."""
    model = _model(image_every=every)
    rows = model._draw_rows(tf.constant([0, 1]), 2000, length)
    rows = rows.numpy()
    assert rows.shape == (2000, max(length // every, 1))
    assert set(np.diff(rows, axis=1).ravel() % length) <= {every}
    times = np.bincount(rows.ravel(), minlength=length)
    np.testing.assert_allclose(times, rows.size / length, rtol=0.35)


def test_motion():
    """The encoder gets each image and three times its change."""
    model = _model(channels=6, encode_motion=True)
    x = model.see(_batch()["image"], None)
    before = tf.reverse(x[:, 0], [1])
    last = np.concatenate([before[:, None], x[:, :-1]], 1)
    both = tf.constant(np.concatenate([x, 3 * (x - last)], -1))
    np.testing.assert_allclose(
        model.embed(x, before), model.encoder(both), atol=1e-5
    )
    # Without an image before, as at the start of a chunk: zeros.
    np.testing.assert_allclose(
        model.embed(x), model.embed(x, tf.zeros_like(before)), atol=1e-6
    )


def test_centred_images():
    """The networks see differences; whoever looks sees images."""
    centred, plain = _model(center_images=True), _model()
    image = _batch()["image"]
    noise = _noise(plain).image
    centred.background.assign(np.full([64, 64, 3], 0.25))
    np.testing.assert_allclose(
        centred.see(image, noise), plain.see(image, noise) - 0.25, atol=1e-6
    )
    for model in (centred, plain):
        np.testing.assert_array_equal(
            model.show(model.see(image, noise)), (image // 8) / 32
        )
    assert len(centred.trainable_variables) == len(plain.trainable_variables)
