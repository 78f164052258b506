"""What plans are chosen by: what a model imagines of candidates.

Each objective takes the model, the belief [1, B, .] that all candidates start
from, their actions [N, H, B, A], and `imagine`, which imagines their states and
returns what a function reads of each, [N, H, B, ...]. It returns [N, B].

Shape letters: B batch of environments, N candidates, H horizon, A action, S
stochastic state.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from planet_tf.models.world_model import WorldModel
from planet_tf.tools.devices import in_branches

# Maps actions [B, N, H, A] and the iteration to returns [B, N].
Objective = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def total_reward(
    model: WorldModel, state: Any, actions: tf.Tensor, imagine: Callable
) -> tf.Tensor:
    """The original's: sum of mean rewards over the horizon.

    All candidates of a row share one posterior sample. The current state's own
    reward is not counted; nothing is discounted.
    """
    features = model.dynamics.features
    return tf.reduce_sum(imagine(lambda x: model.reward(features(x))), 1)


def bootstrapped(
    model: WorldModel, state: Any, actions: tf.Tensor, imagine: Callable
) -> tf.Tensor:
    """Discounted rewards over the horizon, and the value of the last state."""
    features = model.dynamics.features
    rewards, states = imagine(
        lambda x: (model.reward(features(x)), features(x))
    )
    return model.value.bootstrapped(rewards, states[:, -1])


def disagreement(
    model: WorldModel, state: Any, actions: tf.Tensor, imagine: Callable
) -> tf.Tensor:
    """The disagreement of the model's ensemble, summed over the horizon."""
    features = model.dynamics.features
    states = imagine(features)
    first = tf.broadcast_to(features(state), states[:, 0].shape)
    states = tf.concat([first[:, None], states[:, :-1]], 1)
    return tf.reduce_sum(model.ensemble.disagreement(states, actions), 1)


def for_candidates(
    evaluate: Callable[..., tf.Tensor],
    model: WorldModel,
    state: Any,
    latent: tf.Tensor | None,
) -> Objective:
    """An objective as the search asks for it.

    Args:
        evaluate: One of the above.
        model: Imagines.
        state: Belief, [B, .].
        latent: Noise of what is imagined, [I, B, N, H, S] standard normal for I
            iterations; None: means.
    """
    shared = tf.nest.map_structure(lambda x: x[None], state)
    # Read once, so that TensorFlow casts them once for all steps.
    weights = [(x, tf.convert_to_tensor(x)) for x in model.variables]

    def evaluated(actions, noise) -> tf.Tensor:
        imagine = functools.partial(
            model.dynamics.imagine, actions, noise, shared
        )
        with tf.keras.StatelessScope(weights):
            return evaluate(model, shared, actions, imagine)

    def rows_inside(x: tf.Tensor) -> tf.Tensor:
        """[B, N, H, .] to [N, H, B, .], which moves nothing if B is 1."""
        return tf.transpose(x, [1, 2, 0, 3])

    def objective(actions: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        # Deviates from planet: candidates of an environment start from its own
        # state; the original's get mixed up when there are several
        # environments (no effect on one). The state is not copied, so that its
        # products in the first step are computed once.
        noise = None if latent is None else rows_inside(latent[i])
        found = in_branches(evaluated, rows_inside(actions), noise)
        return tf.transpose(found)

    return objective
