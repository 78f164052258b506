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


def postprocess(image: tf.Tensor, bits: int = 5) -> tf.Tensor:
    """Inverse of `preprocess` up to quantisation: floats, mostly in [0, 1].

    A model's mean can leave [-0.5, 0.5); nothing is clipped here, as in the
    original.
    """
    bins = 2**bits
    return tf.floor(bins * (image + 0.5)) / bins
