"""Random numbers of graphs, several times as fast as TensorFlow's own.

With those, drawing its millions of numbers took a tenth of a plan. Here XLA
draws integers by Threefry (its default algorithm takes hundreds of times as
long on a CPU), and makes what is needed of them in one pass. They are unsigned,
as a GPU's int32 may pass through the memory of its host.

`seed` is int32 [2] everywhere: the same seed, the same numbers.
"""

import math

import tensorflow as tf


def draw_uniform(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Uniform in (0, 1), the dequantising noise of `preprocess`.

    Deviates from planet: takes 256 values instead of 2^23, because four bytes
    cost as much as one float, and drawing them is a large part of a small
    model's update; effect on return: unmeasured; at 5 bits, values differ by
    1/8192 of the brightness range.

    Args:
        shape: Static; the product must be a multiple of 4.
        seed: See above.
    """
    words = _integers(math.prod(shape) // 4, seed)
    return _centers(tf.reshape(tf.bitcast(words, tf.uint8), shape))


def draw_normal(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Standard normal; no value is further than 5.5 from 0.

    Args:
        shape: Static.
        seed: See above.
    """
    # A vector: of rows, XLA makes loops as short as they are.
    words = _integers(math.prod(shape), seed)
    return tf.reshape(_quantiles(words), shape)


# Apart from what is made of them: as one function, both take longer.
@tf.function(jit_compile=True)
def _integers(count: int, seed: tf.Tensor) -> tf.Tensor:
    """Uniform uint32 [count]; other ones where functions run eagerly."""
    # TensorFlow's own operation has no Threefry on a CPU.
    eager = tf.config.functions_run_eagerly()
    return tf.random.stateless_uniform(
        [count],
        seed,
        None,
        None,
        tf.uint32,
        alg="auto_select" if eager else "threefry",
    )


@tf.function(jit_compile=True)
def _centers(numbers: tf.Tensor) -> tf.Tensor:
    """The centers of 256 bins of (0, 1)."""
    return (tf.cast(numbers, tf.float32) + 0.5) / 256


@tf.function(jit_compile=True)
def _quantiles(numbers: tf.Tensor) -> tf.Tensor:
    """Standard normal from uint32 that may be anything."""
    # The centers of 2^24 bins of (-1, 1), all of them exact in float32.
    x = tf.bitwise.right_shift(tf.bitcast(numbers, tf.int32), 8)
    x = (tf.cast(x, tf.float32) + 0.5) * 2.0**-23
    # Not compiled, `erfinv` is inexact near 1, but not near -1.
    return -math.sqrt(2) * tf.sign(x) * tf.math.erfinv(-tf.abs(x))
