"""Shapes, parameter totals and formulas of the feed-forward networks."""

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.networks import conv_ha, convolutions
from planet_tf.networks.basic import VectorHead


def _count(layer) -> int:
    return sum(v.shape.num_elements() for v in layer.trainable_variables)


@pytest.mark.parametrize(
    ("action_dim", "total"), [(6, 5_293_220), (2, 5_292_420), (1, 5_292_220)]
)
def test_paper_parameter_totals(action_dim, total):
    """One layer too many, or of another width, changes these."""
    model = build.world_model(config.Config(), action_dim)
    assert _count(model.encoder) == 690_144
    assert _count(model.image) == 3_795_555
    assert _count(model.reward) == 250_201
    assert _count(model) == total


def test_shapes_and_depth():
    """All filters scale with depth; leading dimensions are kept."""
    encoder, decoder = conv_ha.Encoder(4), conv_ha.Decoder(10, 4)
    embed = encoder(tf.zeros([2, 3, 64, 64, 3]))
    assert embed.shape == (2, 3, 128)
    assert decoder(tf.zeros([2, 3, 10])).shape == (2, 3, 64, 64, 3)
    assert VectorHead(10, (2, 5))(tf.zeros([2, 3, 10])).shape == (2, 3, 2, 5)
    assert VectorHead(10)(tf.zeros([2, 3, 10])).shape == (2, 3)


def _numpy_deconv(x, kernel):
    """Every input pixel adds a kernel-sized patch, two pixels apart."""
    batch, height, width, _ = x.shape
    size, _, outputs, _ = kernel.shape
    out = np.zeros(
        [batch, 2 * height - 2 + size, 2 * width - 2 + size, outputs]
    )
    for i in range(height):
        for j in range(width):
            patch = np.einsum("bc,kloc->bklo", x[:, i, j], kernel)
            out[:, 2 * i : 2 * i + size, 2 * j : 2 * j + size] += patch
    return out


def _elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


@pytest.mark.parametrize(
    ("activation", "twin"),
    [("relu", lambda x: np.maximum(x, 0)), ("elu", _elu)],
)
def test_decoder_is_its_formula(activation, twin):
    """The fast forms of first and last layer must not change the function."""
    decoder = conv_ha.Decoder(5, 2, activation=activation)
    rng = np.random.default_rng(0)
    for bias in decoder.biases:
        bias.assign(rng.normal(size=bias.shape))
    features = rng.normal(size=[2, 5]).astype(np.float32)
    x = features @ decoder.dense.kernel.numpy() + decoder.dense.bias.numpy()
    x = x.reshape([2, 1, 1, -1])
    for i, (kernel, bias) in enumerate(
        zip(decoder.kernels, decoder.biases, strict=True)
    ):
        x = _numpy_deconv(x, kernel.numpy()) + bias.numpy()
        x = x if i == 3 else twin(x)
    np.testing.assert_allclose(decoder(features), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "size", "kernel"),
    [
        ("conv", 31, [4, 4, 3, 5]),
        ("conv", 14, [4, 4, 64, 5]),  # By rows.
        ("conv", 6, [4, 4, 5, 7]),  # As blocks.
        ("deconv", 5, [5, 5, 64, 5]),  # By rows.
        ("deconv", 13, [6, 6, 5, 7]),
        ("deconv", 30, [6, 6, 3, 4]),
    ],
)
def test_convolutions_are_the_native_ones(function, size, kernel):
    """A hand-written gradient that is wrong trains to something else."""
    rng = np.random.default_rng(0)

    def normal(shape) -> tf.Tensor:
        return tf.constant(rng.normal(size=shape), tf.float32)

    if function == "conv":
        inputs = [normal([3, size, size, kernel[2]]), normal(kernel)]

        def native(x, kernel):
            return tf.nn.conv2d(x, kernel, 2, "VALID")

    else:
        inputs = [normal([3, size, size, kernel[3]]), normal(kernel)]
        inputs.append(normal(kernel[2]))

        def native(x, kernel, bias):
            width = 2 * (size - 1) + kernel.shape[0]
            shape = [3, width, width, kernel.shape[2]]
            y = tf.nn.conv2d_transpose(x, kernel, shape, 2, "VALID")
            return y + bias

    results = []
    for own in (getattr(convolutions, function), native):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = own(*inputs)
        if not results:
            upstream = normal(y.shape)
        results.append([y, *tape.gradient(y, inputs, upstream)])
    for own, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-5, atol=1e-4)


def test_activation_reaches_the_decoder():
    """With ReLU and no biases, twice the features are twice the image."""
    features = np.random.default_rng(0).normal(size=[2, 230]).astype("f4")
    for activation, linear in (("relu", True), ("elu", False)):
        values = config.Config(conv_depth=2, conv_activation=activation)
        decode = build.world_model(values, 1).image
        once, twice = decode(features), decode(2 * features)
        assert np.allclose(2 * once, twice, rtol=1e-3, atol=1e-5) == linear


def test_normalized_embeddings_do_not_vanish():
    """Layer norm, with an epsilon too small to hide a faint image."""
    encoder = build.world_model(
        config.Config(
            conv_depth=2, conv_activation="elu", normalize_embed=True
        ),
        1,
    ).encoder
    rng = np.random.default_rng(0)
    for conv in encoder.convs:
        conv.bias.assign(rng.normal(size=conv.bias.shape))
    image = rng.uniform(-0.5, 0.5, [3, 64, 64, 3]).astype(np.float32)
    x = image
    for conv in encoder.convs:
        x = _elu(conv(x).numpy())
    x = x.reshape([3, -1])
    x -= x.mean(1, keepdims=True)
    x /= np.sqrt(x.var(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(encoder(image), x, rtol=1e-4, atol=1e-4)
    for conv in encoder.convs:
        conv.bias.assign(tf.zeros_like(conv.bias))
    few = np.zeros_like(image)
    few[:, 20:24, 20:24] = 0.1
    # Fails with an epsilon of 1e-3.
    assert np.abs(encoder(few)).mean() > 0.5


def test_log_prob_constants():
    """-n/2 log(2 pi) for 12,288 pixels and for one reward (spec of heads)."""
    image = tf.zeros([1, 64, 64, 3])
    decoder, head = conv_ha.Decoder(5, 2), VectorHead(5)
    np.testing.assert_allclose(
        decoder.log_prob(image, image), [-11291.917], rtol=1e-6
    )
    np.testing.assert_allclose(
        head.log_prob(tf.zeros([1]), tf.zeros([1])), [-0.918939], rtol=1e-5
    )
    np.testing.assert_allclose(
        head.log_prob(tf.zeros([1]), tf.constant([2.0])), [-2.918939], rtol=1e-5
    )
