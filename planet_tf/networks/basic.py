"""Dense layers with the original's initial values, and the vector head."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

ACTIVATIONS = {
    "relu": tf.nn.relu,
    "elu": tf.nn.elu,
    "tanh": tf.nn.tanh,
    "swish": tf.nn.silu,
    "softplus": tf.nn.softplus,
    "none": tf.identity,
}


def dense(inputs: int, units: int, name: str) -> tf.keras.layers.Dense:
    """A built linear layer [..., inputs] -> [..., units], Glorot and zeros."""
    layer = tf.keras.layers.Dense(units, name=name)
    # Built now: variables must exist before anything is traced or restored.
    layer.build([None, inputs])
    return layer


def dense_stack(inputs: int, units: int, layers: int, name: str) -> list:
    """`layers` linear layers of one width; apply each with an activation."""
    sizes = [inputs] + [units] * layers
    return [dense(sizes[i], units, f"{name}_{i}") for i in range(layers)]


class VectorHead(tf.keras.layers.Layer):
    """Predicts a small quantity from features (original `feed_forward.py`).

    `layers` hidden layers, a linear output, and a Normal with unit variance.

    Args:
        inputs: Feature size F.
        shape: Shape of one target; `()` for the reward.
        layers: Hidden layers (original `num_layers`).
        units: Their width (original `num_units`).
        activation: Key of `ACTIVATIONS`.
    """

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, ...] = (),
        layers: int = 3,
        units: int = 300,
        activation: str = "relu",
        name: str = "head_reward",
    ):
        super().__init__(name=name)
        self._shape = tuple(shape)
        self._activation = ACTIVATIONS[activation]
        self.hidden = dense_stack(inputs, units, layers, "hidden")
        size = 1
        for dim in shape:
            size *= dim
        self.out = dense(units if layers else inputs, size, "out")
        self.built = True

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Maps features [..., F] to the predicted mean [..., *shape]."""
        x = features
        for layer in self.hidden:
            x = self._activation(layer(x))
        x = self.out(x)
        return tf.reshape(x, tf.concat([tf.shape(x)[:-1], self._shape], 0))

    def log_prob(self, mean: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Log-density of targets [..., *shape] under Normal(mean, 1): [...]."""
        normal = tfd.Independent(tfd.Normal(mean, 1.0), len(self._shape))
        return normal.log_prob(target)
