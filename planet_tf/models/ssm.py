"""Purely stochastic state-space model: the paper's SSM baseline."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from planet_tf.models import cell


class State(NamedTuple):
    """Belief about the world at one step: [B, .], or [B, T, .] over time."""

    mean: tf.Tensor  # [B, S]
    std: tf.Tensor  # [B, S]
    stoch: tf.Tensor  # [B, S] sample of Normal(mean, std)


class SSM(tf.keras.layers.Layer):
    """All memory passes through samples (original `ssm.py`).

        prior = Normal(act(dense(stoch_{t-1}, action_t)))
        post  = Normal(act(dense(prior mean, prior std, embed_t)))

    Args:
        action_dim: A.
        embed_size: E.
        stoch: S (original `state_size`).
        units: Width of the dense layers (original `model_size`).
        activation: Key of `ACTIVATIONS`.
        min_std: Added to every standard deviation, > 0.
        precision: What matrix products are computed in.
    """

    def __init__(
        self,
        action_dim: int,
        embed_size: int,
        stoch: int = 30,
        units: int = 200,
        activation: str = "relu",
        min_std: float = 0.1,
        precision: str = "float32",
        name: str = "ssm",
    ):
        super().__init__(name=name)
        self.stoch_size = stoch
        self.feature_size = stoch
        sizes = (units, stoch, 1, activation, min_std, precision)
        self.prior = cell.Gaussian(stoch + action_dim, *sizes, "prior")
        self.post = cell.Gaussian(2 * stoch + embed_size, *sizes, "post")
        self.built = True

    def initial(self, batch: int) -> State:
        """The state before anything was seen: zeros, std included."""
        zeros = tf.zeros([batch, self.stoch_size])
        return State(zeros, zeros, zeros)

    def features(self, state: State) -> tf.Tensor:
        """What every head reads: [..., S]."""
        return state.stoch

    def observe(
        self,
        embed: tf.Tensor,
        action: tf.Tensor,
        noise: tuple[tf.Tensor | None, tf.Tensor | None],
        state: State | None = None,
    ) -> tuple[State, State]:
        """Filters a sequence of observations; see `RSSM.observe`."""
        state = self.initial(embed.shape[0]) if state is None else state
        prior_noise, post_noise = noise
        from_stoch, from_action = cell.split(
            self.prior.hidden[0], self.stoch_size
        )
        from_prior, from_embed = cell.split(
            self.post.hidden[0], 2 * self.stoch_size
        )

        def step(previous: tuple[State, State], inputs: tuple) -> tuple:
            action_part, embed_part, eps = inputs
            mean, std = self.prior.rest(
                from_stoch(previous[1].stoch) + action_part
            )
            prior = State(mean, std, mean)
            mean, std = self.post.rest(
                from_prior(tf.concat([mean, std], -1)) + embed_part
            )
            stoch = cell.sample(mean, std, eps)
            return prior, State(mean, std, stoch)

        inputs = (from_action(action), from_embed(embed), post_noise)
        prior, post = cell.scan_time(step, inputs, (state, state))
        stoch = cell.sample(prior.mean, prior.std, prior_noise)
        return prior._replace(stoch=stoch), post

    def imagine(
        self,
        action: tf.Tensor,
        noise: tf.Tensor | None,
        state: State,
        read: Callable[[State], Any] = lambda state: state,
    ) -> Any:
        """Predicts without observations; see `RSSM.imagine`."""
        from_stoch, from_action = cell.split(
            self.prior.hidden[0], self.stoch_size
        )
        inputs = (from_action(action), noise)

        def step(previous: State, inputs: tuple) -> State:
            action_part, eps = inputs
            mean, std = self.prior.rest(
                from_stoch(previous.stoch) + action_part
            )
            return State(mean, std, cell.sample(mean, std, eps))

        return cell.scan_time(step, inputs, state, cell.UNROLL, read)
