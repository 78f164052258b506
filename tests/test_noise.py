"""Random numbers have the distribution they are named for."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from planet_tf.tools import noise


@pytest.mark.parametrize("draw", [noise.draw_uniform, noise.draw_normal])
def test_the_seed_decides(draw):
    """The same numbers for the same seed, and unrelated ones for another."""
    x = draw([40, 64, 64], tf.constant([3, 4])).numpy()
    assert x.shape == (40, 64, 64) and x.dtype == np.float32
    again = draw([40, 64, 64], tf.constant([3, 4]))
    np.testing.assert_array_equal(x, again)
    other = draw([40, 64, 64], tf.constant([3, 5])).numpy()
    assert abs(np.corrcoef(x.ravel(), other.ravel())[0, 1]) < 0.01
    # Nor is a number related to the one after it.
    assert abs(np.corrcoef(x.ravel()[1:], x.ravel()[:-1])[0, 1]) < 0.01


def test_uniform():
    """Mean, variance and range."""
    x = noise.draw_uniform([40, 64, 64], tf.constant([3, 4])).numpy()
    assert 0 < x.min() < 0.01 and 0.99 < x.max() < 1
    np.testing.assert_allclose(x.mean(), 1 / 2, atol=2e-3)
    np.testing.assert_allclose(x.var(), 1 / 12, atol=1e-3)


def test_normal():
    """The largest distance to the distribution's own function."""
    x = noise.draw_normal([100_000], tf.constant([3, 4])).numpy()
    assert stats.kstest(x, stats.norm.cdf).statistic < 0.005


@pytest.mark.parametrize("eager", [False, True])
def test_integers_become_quantiles(eager):
    """Those at both ends too, which a draw hardly ever meets."""
    numbers = np.linspace(-(2**31), 2**31 - 1, 1001).astype(np.int64)
    words = tf.bitcast(tf.constant(numbers, tf.int32), tf.uint32)
    quantiles = noise._quantiles
    x = (quantiles.python_function if eager else quantiles)(words).numpy()
    bins = (numbers >> 8) + 2**23
    np.testing.assert_allclose(
        x, stats.norm.ppf((bins + 0.5) / 2**24), rtol=1e-4, atol=1e-6
    )
    assert x[0] == -x[-1] == pytest.approx(-5.42, abs=0.01)
