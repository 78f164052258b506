"""What comes after the planner's horizon: a value function (paper, section 7).

The paper's outlook is to "learn a value function to approximate the sum of
rewards beyond the planning horizon".
"""

import numpy as np
import tensorflow as tf

from planet_tf.networks.basic import VectorHead


class Value(tf.keras.layers.Layer):
    """Discounted sum of all rewards to come, as recorded episodes went on.

    Where a chunk stops, rewards go on. A world that has terminated is followed
    by rows without reward (`Replay.sample`), whose value becomes 0.

    Args:
        head: Features [..., F] to values [...].
        discount: Of a reward for each decision that it is away, in (0, 1).
        lambda_: In [0, 1]: 0 learns from the next reward and the value
            after it, 1 from the rewards of the whole chunk and the value at
            its end.
    """

    def __init__(self, head: VectorHead, discount: float, lambda_: float):
        super().__init__(name="value")
        self.head = head
        self._discount = discount
        self._lambda = lambda_
        self.built = True

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Maps features [..., F] to values [...], in units of the reward."""
        return self.head(features)

    def log_prob(self, features: tf.Tensor, reward: tf.Tensor) -> tf.Tensor:
        """Log-density of `targets` under Normal(value, 1): [B, T - 1].

        Args:
            features: [B, T, F].
            reward: [B, T]; row t is what came with arriving in row t.
        """
        value = self(features)
        target = tf.stop_gradient(self.targets(value, reward))
        return self.head.log_prob(value[:, :-1], target)

    def targets(self, value: tf.Tensor, reward: tf.Tensor) -> tf.Tensor:
        """The lambda-return (Sutton and Barto, 2018, section 12.1).

            target_t = reward_{t+1} + discount * (
                (1 - lambda) * value_{t+1} + lambda * target_{t+1})

        with the last value in place of the last target.

        Args:
            value: [B, T].
            reward: [B, T].

        Returns:
            [B, T - 1], of all rows but the last.
        """
        # Value plus the sum of later errors of one step each, which is the
        # same, without a loop.
        error = reward[:, 1:] + self._discount * value[:, 1:] - value[:, :-1]
        t = np.arange(error.shape[1])
        weight = (self._discount * self._lambda) ** np.maximum(
            t[:, None] - t, 0
        )
        weight = tf.constant(np.tril(weight), value.dtype)
        # Not as a product, which some GPUs would round.
        later = tf.reduce_sum(error[:, :, None] * weight, 1)
        return value[:, :-1] + later

    def bootstrapped(
        self, rewards: tf.Tensor, features: tf.Tensor
    ) -> tf.Tensor:
        """What plans are worth: discounted rewards and the value after them.

        Args:
            rewards: [N, H, B] of the next H decisions.
            features: [N, B, F] of the state after them.

        Returns:
            [N, B].
        """
        horizon = rewards.shape[1]
        weights = tf.constant(self._discount ** np.arange(horizon), tf.float32)
        total = tf.reduce_sum(weights[:, None] * rewards, 1)
        return total + self._discount**horizon * self(features)
