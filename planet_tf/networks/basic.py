"""Dense layers with the original's initial values, and the vector head.

With a `precision` of "bfloat16", matrix products and convolutions are computed
in that type, on a GPU or a CPU that has instructions for it several times as
fast. All else is float32: weights, which are cast where they are used, biases
(the encoder's are rounded where they are added), activations (except between
convolutions, and between layers that follow each other), and what comes out.
Keras' policy `mixed_bfloat16` is not used: with it, the gradient of a bias is a
sum in bfloat16 over all rows, which stops growing after a few hundred of them.
"""

import functools
import math
from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

_FEW = 2**16  # Elements that take no longer than starting what XLA compiled.

ACTIVATIONS = {
    "relu": tf.nn.relu,
    "elu": tf.nn.elu,
    "tanh": tf.nn.tanh,
    "swish": tf.nn.silu,
    "softplus": tf.nn.softplus,
    "none": tf.identity,
}


def product(
    precision: str, function: Callable[..., tf.Tensor], *inputs: tf.Tensor
) -> tf.Tensor:
    """A function of float32 tensors, computed in `precision` and left in it.

    A kernel among them is cast here, also inside loops: the gradients of their
    steps would otherwise be added up in `precision`.
    """
    return function(*(tf.cast(x, precision) for x in inputs))


def in_precision(
    precision: str, function: Callable[..., tf.Tensor], *inputs: tf.Tensor
) -> tf.Tensor:
    """What `product` returns, as float32."""
    return tf.cast(product(precision, function, *inputs), tf.float32)


@functools.cache
def fused(precision: str, function: Callable) -> Callable:
    """A function of products in `precision`, element by element, in one pass.

    That is XLA's, where there are many elements. In float32, where nothing is
    to be cast, TensorFlow's own operations are as fast.

    Args:
        precision: Of the products.
        function: Of a module, not of a call: it is kept, with its graphs. Takes
            tensors, structures of them, and what else decides its graph.
    """
    if precision == "float32":
        return function
    compiled = tf.function(function, jit_compile=True)

    def choose(*inputs):
        sizes = [
            x.shape.num_elements()
            for x in tf.nest.flatten(inputs)
            if isinstance(x, tf.Tensor)
        ]
        # An unknown number, None, counts as many.
        many = None in sizes or max(sizes) >= _FEW
        return (compiled if many else function)(*inputs)

    return choose


class Dense(tf.keras.layers.Dense):
    """A linear layer [..., inputs] -> [..., units], Glorot and zeros.

    Attributes:
        precision: What the product is computed in.
    """

    def __init__(self, inputs: int, units: int, precision: str, name: str):
        # Keras would cast what is left in `precision` back to float32.
        super().__init__(units, name=name, autocast=False)
        self.precision = precision
        # Now: variables must exist before anything is traced or restored.
        self.build([None, inputs])

    def call(
        self,
        x: tf.Tensor,
        activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        dtype: tf.DType = tf.float32,
    ) -> tf.Tensor:
        """Maps [..., inputs] to [..., units], through an activation.

        What is returned is computed in float32, and then of type `dtype`.
        """
        # On rows, TensorFlow makes one operation of product, bias and
        # activation.
        y = product(self.precision, tf.matmul, rows(x), self.kernel)
        # What is compiled would hold on to a variable for good.
        bias = tf.convert_to_tensor(self.bias)
        y = fused(self.precision, _activated)(y, bias, activation, dtype)
        return unrows(y, x)


def rows(x: tf.Tensor) -> tf.Tensor:
    """[..., C] to [B, C]."""
    return tf.reshape(x, [-1, x.shape[-1]])


def unrows(y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """[B, C] to [..., C], for x of [..., any] with B rows."""
    leading = [-1 if size is None else size for size in x.shape[:-1]]
    return tf.reshape(y, [*leading, y.shape[-1]])


def _activated(
    y: tf.Tensor, bias: tf.Tensor, activation: Callable, dtype: tf.DType
) -> tf.Tensor:
    y = activation(tf.nn.bias_add(tf.cast(y, tf.float32), bias))
    return tf.cast(y, dtype)


def dense_stack(
    inputs: int, units: int, layers: int, precision: str, name: str
) -> list[Dense]:
    """`layers` linear layers of one width, for `through`."""
    sizes = [inputs] + [units] * layers
    return [
        Dense(sizes[i], units, precision, f"{name}_{i}") for i in range(layers)
    ]


def through(
    layers: list[Dense],
    x: tf.Tensor,
    activation: Callable[[tf.Tensor], tf.Tensor],
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """Applies layers, each with an activation; the last returns `dtype`."""
    for layer in layers[:-1]:
        # The type that the next product would cast it to.
        x = layer(x, activation=activation, dtype=layer.precision)
    for layer in layers[-1:]:
        x = layer(x, activation=activation, dtype=dtype)
    return x


class VectorHead(tf.keras.layers.Layer):
    """Predicts a small quantity from features (original `feed_forward.py`).

    `layers` hidden layers, a linear output, and a Normal with unit variance.

    Args:
        inputs: Feature size F.
        shape: Shape of one target; `()` for the reward.
        layers: Hidden layers (original `num_layers`).
        units: Their width (original `num_units`).
        activation: Key of `ACTIVATIONS`.
        precision: What the hidden layers' products are computed in. The
            output's is always float32: it is a few numbers, and they count.
    """

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, ...] = (),
        layers: int = 3,
        units: int = 300,
        activation: str = "relu",
        precision: str = "float32",
        name: str = "head_reward",
    ):
        super().__init__(name=name)
        self._shape = tuple(shape)
        self._activation = ACTIVATIONS[activation]
        self.hidden = dense_stack(inputs, units, layers, precision, "hidden")
        size = math.prod(shape)
        self.out = Dense(units if layers else inputs, size, "float32", "out")
        self.built = True

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Maps features [..., F] to the predicted mean [..., *shape]."""
        x = self.out(through(self.hidden, features, self._activation))
        return tf.reshape(x, tf.concat([tf.shape(x)[:-1], self._shape], 0))

    def log_prob(self, mean: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """Log-density of targets [..., *shape] under Normal(mean, 1): [...]."""
        normal = tfd.Independent(tfd.Normal(mean, 1.0), len(self._shape))
        return normal.log_prob(target)
