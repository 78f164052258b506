"""Pixels as the model sees them: few bits, with dequantising noise."""

import tensorflow as tf


def preprocess(
    image: tf.Tensor, bits: int = 5, noise: tf.Tensor | None = None
) -> tf.Tensor:
    """Turns uint8 images into floats in [-0.5, 0.5) (original `preprocess.py`).

    Keeps the highest `bits` of each byte and adds uniform noise of one bin, so
    that the discrete values have a density (paper, appendix A).

    Args:
        image: uint8 [..., 64, 64, 3].
        bits: Colour depth to keep, 1 to 8.
        noise: Uniform in [0, 1), shaped like `image`; None leaves it out.

    Returns:
        float32 of the same shape.
    """
    # On bytes, and scaled once: both cost a pass over all pixels in float32,
    # and powers of two make the result the same to the last bit.
    shift = tf.constant(8 - bits, tf.uint8)
    x = tf.cast(tf.bitwise.right_shift(image, shift), tf.float32)
    if noise is not None:
        x = x + noise
    return x * 2.0**-bits - 0.5


def draw_noise(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Dequantising noise for `preprocess`: uniform in (0, 1).

    Deviates from planet: takes 256 values instead of 2^23, because four bytes
    cost as much as one float, and drawing them is a large part of a small
    model's update; effect on return: unmeasured; at 5 bits, values differ by
    1/8192 of the brightness range.

    Args:
        shape: Static; the product must be a multiple of 4.
        seed: int32 [2]; the same seed, the same noise.
    """
    count = 1
    for size in shape:
        count *= size
    words = tf.random.stateless_uniform(
        [count // 4], seed, None, None, tf.uint32
    )
    return _centers(tf.reshape(tf.bitcast(words, tf.uint8), shape))


@tf.function(jit_compile=True)  # One pass.
def _centers(numbers: tf.Tensor) -> tf.Tensor:
    """The centers of 256 bins of (0, 1)."""
    return (tf.cast(numbers, tf.float32) + 0.5) / 256


def postprocess(image: tf.Tensor, bits: int = 5) -> tf.Tensor:
    """Inverse of `preprocess` up to quantisation: floats, mostly in [0, 1].

    A model's mean can leave [-0.5, 0.5); nothing is clipped here, as in the
    original.
    """
    bins = 2**bits
    return tf.floor(bins * (image + 0.5)) / bins
