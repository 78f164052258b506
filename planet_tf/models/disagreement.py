"""Exploring without rewards: where an ensemble's predictions disagree.

As in Plan2Explore (Sekar et al., 2020, "Planning to Explore via Self-Supervised
World Models", section 3), but for two things: this project's planner goes there
instead of a policy, and the posterior's mean is predicted instead of the next
image's embedding, which is 8 times (`cpu`) to 34 times as large.
"""

import tensorflow as tf

from planet_tf.networks.basic import VectorHead


class Ensemble(tf.keras.layers.Layer):
    """Networks that predict the next latent state, each from its own start.

    They agree about what was seen often, and about noise, whose mean is all
    that they learn; they disagree about what is new.

    Args:
        heads: At least two, each from features and action [..., F + A] to the
            posterior's next mean [..., S].
    """

    def __init__(self, heads: list[VectorHead]):
        super().__init__(name="ensemble")
        self.heads = heads
        self.built = True

    def call(self, features: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Predictions [K, ..., S] of the K members.

        Args:
            features: [..., F] of a state.
            action: [..., A], taken in it.
        """
        x = tf.concat([features, action], -1)
        return tf.stack([head(x) for head in self.heads])

    def log_prob(
        self, features: tf.Tensor, action: tf.Tensor, mean: tf.Tensor
    ) -> tf.Tensor:
        """Log-density of what came, the members' mean: [B, T - 1].

        Args:
            features: [B, T, F].
            action: [B, T, A]; row t led to row t.
            mean: Of the posteriors, [B, T, S].
        """
        predicted = self(features[:, :-1], action[:, 1:])
        return tf.reduce_mean(self.heads[0].log_prob(predicted, mean[:, 1:]), 0)

    def disagreement(self, features: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Variance of the predictions, mean over S: [...]; see `call`."""
        variance = tf.math.reduce_variance(self(features, action), 0)
        return tf.reduce_mean(variance, -1)
