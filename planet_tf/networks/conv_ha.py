"""Image encoder and decoder of Ha & Schmidhuber (2018), as planet has them.

Shapes: 64x64x3 -> 31 -> 14 -> 6 -> 2x2 -> flat (encoder) and 1x1 -> 5 -> 13 ->
30 -> 64x64x3 (decoder); valid padding and stride 2 everywhere (original
`conv_ha.py`). `depth` scales all filters: 32 is the paper's network.
"""

import functools

import tensorflow as tf
import tensorflow_probability as tfp

from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.networks import convolutions
from planet_tf.networks.basic import ACTIVATIONS, Dense, in_precision

tfd = tfp.distributions


class Encoder(tf.keras.layers.Layer):
    """Images [..., 64, 64, channels] to embeddings [..., 32 * depth].

    Args:
        depth: Filters of the first convolution.
        precision: What convolutions are computed in, see `basic.py`.
        activation: Of each convolution, a key of `ACTIVATIONS`.
        normalize: The units of each embedding have mean 0 and variance 1:
            layer normalisation (Ba et al., 2016, equation 3) without its
            learned gain and bias.
        channels: Of the images.
    """

    def __init__(
        self,
        depth: int = 32,
        precision: str = "float32",
        activation: str = "relu",
        normalize: bool = False,
        channels: int = IMAGE_SHAPE[-1],
        name: str = "encoder",
    ):
        super().__init__(name=name)
        self._precision = precision
        # Deviates from planet: optional, always ReLU there. Units of small
        # networks died on two tasks; effect on return: none when "relu".
        self._act = ACTIVATIONS[activation]
        self._normalize = normalize
        self.embed_size = 32 * depth
        self.convs = []
        size = IMAGE_SHAPE[0]
        for i, filters in enumerate([depth, 2 * depth, 4 * depth, 8 * depth]):
            conv = tf.keras.layers.Conv2D(
                filters, 4, strides=2, name=f"conv_{i}"
            )
            conv.build([None, size, size, channels])
            channels, size = filters, (size - 4) // 2 + 1
            self.convs.append(conv)
        self.built = True

    def call(self, image: tf.Tensor) -> tf.Tensor:
        """Maps [..., 64, 64, channels] to [..., 32 * depth]."""
        leading = image.shape[:-3]
        x = tf.cast(tf.reshape(image, [-1, *image.shape[-3:]]), self._precision)
        for conv in self.convs:
            # With the next three lines, what `conv(x)` does in float32.
            kernel = tf.cast(conv.kernel, self._precision)
            x = convolutions.conv(x, kernel)
            bias = tf.convert_to_tensor(conv.bias)
            x = self._act(convolutions.bias_add(x, bias))
        x = tf.cast(x, tf.float32)
        # Row-major height, width, channel: the original's flattening.
        x = tf.reshape(x, [*leading, self.embed_size])
        if not self._normalize:
            return x
        # Deviates from planet: optional; in a new model an image moves the
        # posterior's mean by a hundredth of a sample's noise, and small models
        # may never get beyond that. With centred images and biases of zero,
        # this gives any difference full size; effect on return: none when off.
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1e-6)


class Decoder(tf.keras.layers.Layer):
    """Features [..., F] to the mean of an image [..., 64, 64, 3].

    A linear layer, then four transposed convolutions with kernels 5, 5, 6, 6;
    the activation on the first three.

    Args:
        inputs: Feature size F.
        depth: The encoder's `depth`.
        precision: The encoder's.
        activation: The encoder's.
    """

    def __init__(
        self,
        inputs: int,
        depth: int = 32,
        precision: str = "float32",
        activation: str = "relu",
        name: str = "head_image",
    ):
        super().__init__(name=name)
        self._precision = precision
        self._act = ACTIVATIONS[activation]
        self.dense = Dense(inputs, 32 * depth, precision, "dense")
        self.kernels, self.biases = [], []
        channels = 32 * depth
        layers = [(4 * depth, 5), (2 * depth, 5), (depth, 6), (3, 6)]
        for i, (filters, size) in enumerate(layers):
            # [height, width, out, in], the layout of tf.nn.conv2d_transpose.
            shape = [size, size, filters, channels]
            self.kernels.append(
                self.add_weight(
                    shape=shape,
                    initializer="glorot_uniform",
                    name=f"deconv_{i}_kernel",
                )
            )
            self.biases.append(
                self.add_weight(
                    shape=[filters],
                    initializer="zeros",
                    name=f"deconv_{i}_bias",
                )
            )
            channels = filters
        self.built = True

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """The image mean, in the space of preprocessed pixels."""
        leading = features.shape[:-1]
        x = self.dense(tf.reshape(features, [-1, features.shape[-1]]))
        # The first transposed convolution reads a single pixel, so that it is
        # a matrix product; as a convolution it runs several times slower.
        kernel = self.kernels[0]
        x = in_precision(
            self._precision,
            functools.partial(tf.matmul, transpose_b=True),
            x,
            tf.reshape(kernel, [-1, kernel.shape[-1]]),
        )
        x = tf.reshape(x, [-1, 5, 5, kernel.shape[2]])
        x = self._act(x + self.biases[0])
        # From here on, most of the work of an update.
        x, *kernels = (
            tf.cast(y, self._precision) for y in (x, *self.kernels[1:])
        )
        x = self._act(convolutions.deconv(x, kernels[0], self.biases[1]))
        x = self._act(convolutions.deconv(x, kernels[1], self.biases[2]))
        x = convolutions.deconv(x, kernels[2], self.biases[3], tf.float32)
        return tf.reshape(x, [*leading, *IMAGE_SHAPE])

    def log_prob(self, mean: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        """Log-density of whole images under Normal(mean, 1): [...].

        An image is data: no gradient reaches it.
        """

        @tf.custom_gradient
        def log_prob(mean: tf.Tensor) -> tf.Tensor:
            return _log_prob(mean, image), functools.partial(
                _log_prob_gradient, mean, image
            )

        return log_prob(mean)


# XLA makes one pass over the pixels where TFP's operations make ten. The
# gradient is a function of its own, which computes what it needs once more: an
# automatic one would have arrays as large as the images kept for it.
@tf.function(jit_compile=True)
def _log_prob(mean: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    normal = tfd.Independent(tfd.Normal(mean, 1.0), len(IMAGE_SHAPE))
    return normal.log_prob(image)


@tf.function(jit_compile=True)
def _log_prob_gradient(
    mean: tf.Tensor, image: tf.Tensor, upstream: tf.Tensor
) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(mean)
        value = _log_prob.python_function(mean, image)
    return tape.gradient(value, mean, upstream)
