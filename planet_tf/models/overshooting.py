"""Latent overshooting: priors several steps ahead of every posterior.

Shape letters: B batch, T time, K steps ahead, A action, S stochastic state.

    start t, step k:  the prior of time t + k, predicted from the posterior of
                      time t - 1 with actions t to t + k; k = 0 is the usual
                      prior, and there is nothing to compare with from T on.
"""

from typing import Any

import tensorflow as tf

from planet_tf.models import cell


def overshoot(
    dynamics: Any,
    action: tf.Tensor,
    post: Any,
    noise: tf.Tensor | None,
    steps: int,
    targets: Any,
) -> tuple[Any, Any, tf.Tensor]:
    """Predicts from every step on (paper, section 4; `overshooting.py`).

    Args:
        dynamics: A cell, see `models/cell.py`.
        action: [B, T, A]; row t led to time t.
        post: Closed-loop posteriors [B, T, .], from a zero state on.
        noise: [B, T, K, S], or None for means.
        steps: K.
        targets: Structure of [B, T, ...] that predictions are compared with.

    Returns:
        Priors [B, T, K, .], the targets of the same times, [B, T, K, ...], and
        a mask [B, T, K]: 1.0 where t + k < T. The rest are finite numbers
        without a meaning.
    """
    B, T = action.shape[:2]
    time = tf.range(T)[:, None] + tf.range(steps)[None]
    # Times beyond the end repeat the last. Deviates from planet: it fills up
    # with zeros, whose KL is not a number.
    index = tf.minimum(time, T - 1)

    def ahead(x: tf.Tensor) -> tf.Tensor:
        return tf.gather(x, index, axis=1)

    def flat(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [B * T, *x.shape[2:]])

    start = cell.shift(post, dynamics.initial(B))
    prior = dynamics.imagine(
        flat(ahead(action)),
        None if noise is None else flat(noise),
        tf.nest.map_structure(flat, start),
    )
    prior = tf.nest.map_structure(
        lambda x: tf.reshape(x, [B, T, steps, x.shape[-1]]), prior
    )
    mask = tf.broadcast_to(tf.cast(time < T, tf.float32), [B, T, steps])
    return prior, tf.nest.map_structure(ahead, targets), mask
