"""Planning by the cross-entropy method (paper, algorithm 2).

Shape letters: I iterations, B batch of environments, N candidates, H horizon, A
action.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Search(NamedTuple):
    """How a search went, by iteration: [I, B] each."""

    elite_return: tf.Tensor  # Mean objective of the elites.
    elite_return_std: tf.Tensor  # Its standard deviation among them.
    # Standard deviation of the elites' actions: mean over horizon and action
    # dimensions, and of the first action alone. Dimensions that only other
    # tasks of an agent use count as well, which nothing narrows.
    elite_spread: tf.Tensor
    first_spread: tf.Tensor


def cross_entropy_method(
    objective: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    noise: tf.Tensor,
    *,
    elites: int,
    start: tf.Tensor | None = None,
    record: bool = False,
) -> tf.Tensor | tuple[tf.Tensor, Search]:
    """Finds action sequences with a high objective (original `planning.py`).

    Starts from Normal(0, 1) for every action, and refits mean and standard
    deviation to the best candidates of each iteration. A pure function: the
    same noise gives the same plan.

    Args:
        objective: Maps actions [B, N, H, A] in [-1, 1] and the iteration (a
            scalar int32) to returns [B, N]; higher is better. Rows of B are
            independent problems.
        noise: Standard normal draws [I, B, N, H, A], all dimensions static;
            they set the number of iterations and of candidates.
        elites: The best candidates that the belief is refitted to, 1 to N.
        start: Mean of the first belief [B, H, A], instead of zeros.
        record: Also return how the search went; leaves the plan as it is.

    Returns:
        The mean [B, H, A] of the final belief over actions, in [-1, 1]; the
        first one's without iterations (the original's zeros). With `record` a
        `Search`, too.
    """
    iterations, B, _, H, A = noise.shape

    def refit(i, mean, std, *history):
        # Clipped before evaluation and refit: the released code does so, the
        # paper's algorithm does not print it.
        actions = tf.clip_by_value(
            mean[:, None] + std[:, None] * noise[i], -1.0, 1.0
        )
        returns = objective(actions, i)
        highest, best = tf.math.top_k(returns, elites, sorted=False)
        elite = tf.gather(actions, best, batch_dims=1)
        mean, variance = tf.nn.moments(elite, axes=[1])
        # The floor is the original's; without it std can reach exactly 0.
        std = tf.sqrt(variance + 1e-6)
        if record:
            values = Search(
                tf.reduce_mean(highest, 1),
                tf.math.reduce_std(highest, 1),
                tf.reduce_mean(std, [1, 2]),
                tf.reduce_mean(std[:, 0], 1),
            )
            history = [
                array.write(i, value)
                for array, value in zip(history, values, strict=True)
            ]
        return i + 1, mean, std, *history

    mean = tf.zeros([B, H, A]) if start is None else start
    belief = (tf.constant(0), mean, tf.ones([B, H, A]))
    history = ()
    if record:
        history = (
            tf.TensorArray(tf.float32, iterations, element_shape=[B])
            for _ in Search._fields
        )
    _, mean, _, *history = tf.while_loop(
        lambda i, *_: i < iterations,
        refit,
        (*belief, *history),
        maximum_iterations=iterations,
    )
    if record:
        return mean, Search(*(array.stack() for array in history))
    return mean
