"""Recurrent state-space model: the paper's latent dynamics (section 3)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from planet_tf.models import cell
from planet_tf.networks.basic import ACTIVATIONS, dense_stack


class State(NamedTuple):
    """Belief about the world at one step: [B, .], or [B, T, .] over time."""

    mean: tf.Tensor  # [B, S]
    std: tf.Tensor  # [B, S]
    stoch: tf.Tensor  # [B, S] sample of Normal(mean, std)
    deter: tf.Tensor  # [B, D] GRU output, the original's `belief`


class RSSM(tf.keras.layers.Layer):
    """Deterministic and stochastic state side by side (original `rssm.py`).

        x_t     = act(dense(stoch_{t-1}, action_t))
        deter_t = GRU(x_t, deter_{t-1})
        prior   = Normal(act(dense(deter_t)))            no observation
        post    = Normal(act(dense(deter_t, embed_t)))   with observation

    Standard deviations are softplus(.) + `min_std`.

    Args:
        action_dim: A.
        embed_size: E.
        stoch: S (original `state_size`).
        deter: D, also the width of the dense layers (original `model_size`).
        layers: Dense layers at each of the three places.
        activation: Key of `ACTIVATIONS`.
        min_std: Added to every standard deviation, > 0.
        future_rnn: Prior reads the new GRU state; otherwise only x_t.
        precision: What matrix products are computed in.
    """

    def __init__(
        self,
        action_dim: int,
        embed_size: int,
        stoch: int = 30,
        deter: int = 200,
        layers: int = 1,
        activation: str = "relu",
        min_std: float = 0.1,
        future_rnn: bool = True,
        precision: str = "float32",
        name: str = "rssm",
    ):
        super().__init__(name=name)
        self.stoch_size, self.deter_size = stoch, deter
        self.feature_size = stoch + deter
        self._act = ACTIVATIONS[activation]
        self._future_rnn = future_rnn
        self.inputs = dense_stack(
            stoch + action_dim, deter, layers, precision, "input"
        )
        self.gru = cell.GRU(deter, deter, precision)
        sizes = (deter, stoch, layers, activation, min_std, precision)
        self.prior = cell.Gaussian(deter, *sizes, "prior")
        self.post = cell.Gaussian(deter + embed_size, *sizes, "post")
        self.built = True

    def initial(self, batch: int) -> State:
        """The state before anything was seen: zeros, std included."""
        stoch = tf.zeros([batch, self.stoch_size])
        deter = tf.zeros([batch, self.deter_size])
        return State(stoch, stoch, stoch, deter)

    def features(self, state: State) -> tf.Tensor:
        """What every head reads: [..., S + D]."""
        return tf.concat([state.stoch, state.deter], -1)

    def observe(
        self,
        embed: tf.Tensor,
        action: tf.Tensor,
        noise: tuple[tf.Tensor | None, tf.Tensor | None],
        state: State | None = None,
    ) -> tuple[State, State]:
        """Filters a sequence of observations.

        Args:
            embed: [B, T, E].
            action: [B, T, A]; row t led to embed t.
            noise: For prior and post samples, each [B, T, S] or None.
            state: Posterior before the first step; zeros by default.

        Returns:
            Prior and posterior states, [B, T, .]; `deter` is the same in both.
        """
        state = self.initial(embed.shape[0]) if state is None else state
        prior_noise, post_noise = noise
        # Only what depends on the previous state stays inside the loop; the
        # share of actions and embeddings is a single product for all steps.
        from_stoch, from_action = cell.split(self.inputs[0], self.stoch_size)
        from_deter, from_embed = cell.split(
            self.post.hidden[0], self.deter_size
        )
        action_parts, embed_parts = from_action(action), from_embed(embed)
        _, gru = self.gru.split()

        def step(previous: State, inputs: tuple) -> State:
            action_part, embed_part, eps = inputs
            x = from_stoch(previous.stoch) + action_part
            x = self._input(self._act(x))
            deter = gru(x, previous.deter)
            mean, std = self.post.rest(from_deter(deter) + embed_part)
            stoch = cell.sample(mean, std, eps)
            return State(mean, std, stoch, deter)

        inputs = (action_parts, embed_parts, post_noise)
        post = cell.scan_time(step, inputs, state)

        # The prior feeds nothing back in closed loop: all steps at once.
        if self._future_rnn:
            y = post.deter
        else:
            before = cell.shift(post.stoch, state.stoch)
            y = self._act(from_stoch(before) + action_parts)
            y = self._input(y)
        prior = self._prior(y, post.deter, prior_noise)
        return prior, post

    def imagine(
        self,
        action: tf.Tensor,
        noise: tf.Tensor | None,
        state: State,
        read: Callable[[State], Any] = lambda state: state,
    ) -> Any:
        """Predicts without observations: priors [B, T, .] under actions.

        Args:
            action: [B, T, A], or as in `cell.py`, which goes for all of these.
            noise: [B, T, S], or None for means.
            state: Where the prediction starts, [B, .].
            read: What to keep of the predicted states, e.g. a reward.
        """
        _, gru = self.gru.split()
        from_stoch, from_action = cell.split(self.inputs[0], self.stoch_size)

        def step(previous: State, inputs: tuple) -> State:
            action, eps = inputs
            if previous.stoch.shape[0] == action.shape[0]:
                # Joining the small inputs is cheaper than adding wide shares.
                x = tf.concat([previous.stoch, action], -1)
                x = self._input(x, 0)
            else:
                x = from_stoch(previous.stoch) + from_action(action)
                x = self._input(self._act(x))
            deter = gru(x, previous.deter)
            return self._prior(deter if self._future_rnn else x, deter, eps)

        return cell.scan_time(step, (action, noise), state, cell.UNROLL, read)

    def _input(self, x: tf.Tensor, start: int = 1) -> tf.Tensor:
        """The input layers from one of them on; products follow."""
        layers = self.inputs[start:]
        return cell.through(layers, x, self._act, self.gru.precision)

    def _prior(
        self, y: tf.Tensor, deter: tf.Tensor, noise: tf.Tensor | None
    ) -> State:
        mean, std = self.prior(y)
        return State(mean, std, cell.sample(mean, std, noise), deter)
