"""What the three latent dynamics cells share.

Shape letters: B batch, T time, A action, E embedding, S stochastic state, D
deterministic state. Everything is batch-major outside `scan_time`.

A cell offers

    feature_size                               size F of what the heads read
    initial(B) -> State                        all zeros (also std)
    observe(embed, action, noise, state)       closed loop -> (prior, post)
    imagine(action, noise, state, read)        open loop -> prior
    features(state) -> [..., F]

`action[:, t]` is the action that led to `embed[:, t]`. States are NamedTuples
with at least `mean`, `std` and `stoch`; noise is standard normal and shaped
like `stoch`, or None to use means instead of samples (original `mean_only`).

`imagine` also takes N action sequences for each of B states: action [N, T, B,
A], noise [N, T, B, S] and a state of [1, B, .], to states of [N, T, B, .].
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from planet_tf.networks.basic import (
    ACTIVATIONS,
    Dense,
    dense_stack,
    fused,
    in_precision,
    product,
    rows,
    through,
    unrows,
)

tfd = tfp.distributions

# The longest open loop that becomes T copies of a step: a planning horizon, not
# the predictions of an evaluation.
UNROLL = 20

_tensordot = functools.partial(tf.tensordot, axes=1)


class GRU(tf.keras.layers.Layer):
    """Gated recurrent unit with the equations of TF1's `GRUBlockCell`.

    The reset gate multiplies the state before the matrix product, and both
    gates start with a bias of one. Columns of `w_ru` are reset, then update.
    Keras' GRUCell differs in its defaults (bias, orthogonal initial kernel,
    reset after), hence this one.

    Args:
        inputs: Input size I.
        units: State size U.
        precision: What products are computed in; gates and state are float32.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        precision: str = "float32",
        name: str = "gru",
    ):
        super().__init__(name=name, autocast=False)
        self.precision = precision
        size = inputs + units
        self.w_ru = self.add_weight(
            shape=[size, 2 * units], initializer="glorot_uniform", name="w_ru"
        )
        self.b_ru = self.add_weight(
            shape=[2 * units], initializer="ones", name="b_ru"
        )
        self.w_c = self.add_weight(
            shape=[size, units], initializer="glorot_uniform", name="w_c"
        )
        self.b_c = self.add_weight(
            shape=[units], initializer="zeros", name="b_c"
        )
        self.built = True

    def call(self, x: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """One step: x [..., I] and state [..., U] to the new state [..., U].

        Products of a state that several rows of x share are computed once.
        """
        _, step = self.split()
        return step(x, state)

    def split(self, start: int = 0, stop: int = 0) -> tuple[Callable, Callable]:
        """Separates inputs `start` to `stop`, known before a loop over time.

        Inputs before `start` count as zeros.

        Returns:
            `project(x)`, from [..., stop - start] to shares of gates [..., 2 U]
            and candidate [..., U]; and `step(x, state, *shares)`, the rest of
            `call` for other inputs x [..., I - stop]. Without shares, only the
            biases are added.
        """
        biases = tuple(map(tf.convert_to_tensor, (self.b_ru, self.b_c)))
        kernels = (self.w_ru, self.w_c)
        known = [kernel[start:stop] for kernel in kernels]
        w_ru, w_c = (kernel[stop:] for kernel in kernels)
        gates, blend = (fused(self.precision, f) for f in (_gates, _blend))
        linear = functools.partial(in_precision, self.precision, _tensordot)

        def project(x: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return tuple(
                linear(x, kernel) + bias
                for kernel, bias in zip(known, biases, strict=True)
            )

        def step(x, state, *shares) -> tf.Tensor:
            share_ru, share_c = map(rows, shares) if shares else biases
            ru = self._product(x, state, w_ru)
            state = tf.broadcast_to(state, [*x.shape[:-1], state.shape[-1]])
            reset, update = gates(ru, share_ru, rows(state), self.precision)
            c = self._product(rows(x), reset, w_c)
            return unrows(blend(c, share_c, rows(state), update), x)

        return project, step

    def _product(
        self, x: tf.Tensor, state: tf.Tensor, kernel: tf.Tensor
    ) -> tf.Tensor:
        """Rows of [x, state] times a kernel, computed in `precision`."""
        if x.shape[:-1] == state.shape[:-1]:
            x, state = (tf.cast(y, self.precision) for y in (x, state))
            joined = rows(tf.concat([x, state], -1))
            return product(self.precision, tf.matmul, joined, kernel)
        head, tail = kernel[: x.shape[-1]], kernel[x.shape[-1] :]
        linear = functools.partial(in_precision, self.precision, _tensordot)
        return rows(linear(x, head) + linear(state, tail))


def _gates(
    y: tf.Tensor, share: tf.Tensor, state: tf.Tensor, precision: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """The state that the reset gate leaves, and the update gate.

    Args:
        y: [B, 2 U], the product of both gates.
        share: What is added to it, [2 U] or [B, 2 U].
        state: [B, U].
        precision: What the reset state is rounded to.
    """
    reset, update = tf.split(tf.sigmoid(_add(y, share)), 2, -1)
    return tf.cast(reset * state, precision), update


def _blend(
    y: tf.Tensor, share: tf.Tensor, state: tf.Tensor, update: tf.Tensor
) -> tf.Tensor:
    """The new state, from the candidate's product and share."""
    candidate = tf.tanh(_add(y, share))
    return candidate + update * (state - candidate)


def _add(y: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """In float32; a bias as such, for TensorFlow to fuse it."""
    y = tf.cast(y, tf.float32)
    return tf.nn.bias_add(y, share) if share.shape.rank == 1 else y + share


class Gaussian(tf.keras.layers.Layer):
    """Mean and standard deviation of a latent state, from dense layers.

    The standard deviation is softplus(.) + `min_std`.

    Args:
        inputs: Input size.
        units: Width of the hidden layers.
        size: S.
        layers: Hidden layers, at least one.
        activation: Theirs, a key of `ACTIVATIONS`.
        min_std: Added to every standard deviation, > 0.
        precision: What the hidden layers' products are computed in; those of
            mean and standard deviation are float32.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        size: int,
        layers: int,
        activation: str,
        min_std: float,
        precision: str,
        name: str,
    ):
        super().__init__(name=name)
        self._act = ACTIVATIONS[activation]
        self._min_std = min_std
        self.hidden = dense_stack(inputs, units, layers, precision, "hidden")
        self.mean = Dense(units, size, "float32", "mean")
        self.std = Dense(units, size, "float32", "std")
        self.built = True

    def call(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps [..., inputs] to mean and standard deviation, [..., S]."""
        return self._out(through(self.hidden, x, self._act))

    def rest(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What follows the linear part of the first hidden layer."""
        return self._out(through(self.hidden[1:], self._act(y), self._act))

    def _out(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.mean(y), tf.nn.softplus(self.std(y)) + self._min_std


def split(layer: Dense, size: int) -> tuple[Callable, Callable]:
    """A linear layer of two concatenated inputs as two summands.

    What does not depend on the previous state can then be computed for all
    steps at once, outside the loop over time.

    Returns:
        Functions `first` and `second` with layer(concat[a, b]) = first(a) +
        second(b), a having `size` values; the second adds the bias.
    """
    # Sliced here and not at every step: the gradient of a slice is as large
    # as the kernel.
    head, tail = layer.kernel[:size], layer.kernel[size:]
    tensordot = functools.partial(in_precision, layer.precision, _tensordot)

    def first(x: tf.Tensor) -> tf.Tensor:
        return tensordot(x, head)

    def second(x: tf.Tensor) -> tf.Tensor:
        return tensordot(x, tail) + layer.bias

    return first, second


def scan_time(
    step: Callable[[Any, Any], Any],
    inputs: Any,
    initial: Any,
    unroll: int = 1,
    read: Callable[[Any], Any] = lambda state: state,
) -> Any:
    """Applies `state = step(state, input)` along T.

    Args:
        step: Takes and returns structures of [B, ...].
        inputs: Structure of [B, T, ...] and None, which a step gets as such.
        initial: State before the first step, which all rows may share
            ([1, ...]); unrolled, the first step gets it as it is.
        unroll: Up to this T, build T copies of the step instead of a loop:
            faster to run and slower to trace.
        read: What to keep of each state. Applied step by step if unrolled, so
            that a state is read while it is in the processor's cache.

    Returns:
        What was read of all T states, [B, T, ...].
    """
    leaves = tf.nest.flatten(inputs)
    given = [_swap(x) for x in leaves if x is not None]
    length, size = given[0].shape[:2]

    def at(values: Sequence[tf.Tensor]) -> Any:
        """The inputs of a step; `tf.scan` takes no None."""
        values = iter(values)
        return tf.nest.pack_sequence_as(
            inputs, [None if x is None else next(values) for x in leaves]
        )

    if length <= unroll:
        states, state = [], initial
        for t in range(length):
            state = step(state, at([x[t] for x in given]))
            states.append(read(state))
        return tf.nest.map_structure(lambda *x: tf.stack(x, 1), *states)
    states = tf.scan(
        lambda state, values: step(state, at(values)),
        given,
        spread(initial, size),
    )
    return read(tf.nest.map_structure(_swap, states))


def spread(state: Any, size: int) -> Any:
    """A state that rows may share, [1, ...], for each of them: [size, ...]."""
    return tf.nest.map_structure(
        lambda x: tf.broadcast_to(x, [size, *x.shape[1:]]), state
    )


def _swap(x: tf.Tensor) -> tf.Tensor:
    """Exchanges batch and time."""
    return tf.transpose(x, [1, 0, *range(2, len(x.shape))])


def shift(states: Any, first: Any) -> Any:
    """The state before each step: `first` [B, .], then all but the last.

    Args:
        states: Structure of [B, T, ...].
        first: The same of [B, ...].
    """
    return tf.nest.map_structure(
        lambda x, x0: tf.concat([x0[:, None], x[:, :-1]], 1), states, first
    )


def sample(
    mean: tf.Tensor, std: tf.Tensor, noise: tf.Tensor | None
) -> tf.Tensor:
    """Reparameterised draw: mean + std * noise, or the mean without noise."""
    return mean if noise is None else mean + std * noise


def dist(state: Any) -> tfd.Distribution:
    """The diagonal Gaussian of a state with `mean` and `std` [..., S]."""
    return tfd.MultivariateNormalDiag(state.mean, state.std)


def kl_divergence(post: Any, prior: Any) -> tf.Tensor:
    """KL(post || prior) in nats, summed over S: [...]."""
    return tfd.kl_divergence(dist(post), dist(prior))
