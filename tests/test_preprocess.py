"""Pixels to floats and back."""

import numpy as np
import tensorflow as tf

from planet_tf.tools.noise import draw_uniform
from planet_tf.tools.preprocess import postprocess, preprocess

ALL = np.arange(256, dtype=np.uint8)


def test_range_and_bins():
    """[-0.5, 0.5), in 32 steps of 1/32 for 5 bits."""
    x = preprocess(ALL, 5).numpy()
    np.testing.assert_array_equal(x, np.floor(ALL / 8) / 32 - 0.5)
    noisy = preprocess(ALL, 5, np.full(256, 0.999, np.float32)).numpy()
    assert noisy.max() < 0.5 and noisy.min() >= -0.5
    np.testing.assert_array_equal(preprocess(ALL, 8), ALL / 256 - 0.5)


def test_postprocess_inverts():
    """Noise within a bin must not move a pixel to another bin."""
    for noise in (None, draw_uniform([256], tf.constant([1, 2]))):
        x = postprocess(preprocess(ALL, 5, noise), 5)
        np.testing.assert_array_equal(x, np.floor(ALL / 8) / 32)
