"""Two stacked recurrent networks with a stochastic state between them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from planet_tf.models import cell


class State(NamedTuple):
    """Belief about the world at one step: [B, .], or [B, T, .] over time."""

    mean: tf.Tensor  # [B, S]
    std: tf.Tensor  # [B, S]
    stoch: tf.Tensor  # [B, S] sample of Normal(mean, std)
    encoder: tf.Tensor  # [B, D] GRU before the sample
    decoder: tf.Tensor  # [B, D] GRU after it


class DRNN(tf.keras.layers.Layer):
    """A recurrent encoder and decoder around the sample (original `drnn.py`).

        encoder_t = GRU(embed_t, action_t, stoch_{t-1}; encoder_{t-1})
        stoch_t   ~ Normal(relu(dense(encoder_t, stoch_{t-1}, decoder_{t-1})))
        decoder_t = GRU(stoch_t; decoder_{t-1})

    One network is prior and posterior: the prior sees an embedding of zeros.
    The flags wire it differently; those above are the defaults. The dense
    layer is always ReLU, as in the original.

    Args:
        action_dim: A.
        embed_size: E.
        stoch: S (original `state_size`).
        units: D of each GRU, and width of the dense layer (`model_size`).
        min_std: Added to every standard deviation, > 0.
        encoder_to_decoder: Decoder reads the previous encoder state.
        sample_to_sample: Dense layer reads the previous sample.
        sample_to_encoder: Encoder reads the previous sample.
        decoder_to_encoder: Encoder reads the previous decoder state.
        decoder_to_sample: Dense layer reads the previous decoder state.
        action_to_decoder: Decoder reads the action.
        precision: What matrix products are computed in.
    """

    def __init__(
        self,
        action_dim: int,
        embed_size: int,
        stoch: int = 30,
        units: int = 200,
        min_std: float = 0.1,
        encoder_to_decoder: bool = False,
        sample_to_sample: bool = True,
        sample_to_encoder: bool = True,
        decoder_to_encoder: bool = False,
        decoder_to_sample: bool = True,
        action_to_decoder: bool = False,
        precision: str = "float32",
        name: str = "drnn",
    ):
        super().__init__(name=name)
        self.stoch_size, self.units = stoch, units
        self.feature_size = units
        self._embed_size = embed_size
        self._encoder_to_decoder = encoder_to_decoder
        self._sample_to_sample = sample_to_sample
        self._sample_to_encoder = sample_to_encoder
        self._decoder_to_encoder = decoder_to_encoder
        self._decoder_to_sample = decoder_to_sample
        self._action_to_decoder = action_to_decoder
        self.encoder = cell.GRU(
            embed_size
            + action_dim
            + sample_to_encoder * stoch
            + decoder_to_encoder * units,
            units,
            precision,
            name="encoder",
        )
        self.gaussian = cell.Gaussian(
            units + sample_to_sample * stoch + decoder_to_sample * units,
            units,
            stoch,
            layers=1,
            activation="relu",
            min_std=min_std,
            precision=precision,
            name="gaussian",
        )
        self.decoder = cell.GRU(
            stoch + encoder_to_decoder * units + action_to_decoder * action_dim,
            units,
            precision,
            name="decoder",
        )
        self.built = True

    def initial(self, batch: int) -> State:
        """The state before anything was seen: zeros, std included."""
        stoch = tf.zeros([batch, self.stoch_size])
        units = tf.zeros([batch, self.units])
        return State(stoch, stoch, stoch, units, units)

    def features(self, state: State) -> tf.Tensor:
        """What every head reads: [..., D]."""
        return state.decoder

    def observe(
        self,
        embed: tf.Tensor,
        action: tf.Tensor,
        noise: tuple[tf.Tensor | None, tf.Tensor | None],
        state: State | None = None,
    ) -> tuple[State, State]:
        """Filters a sequence of observations; see `RSSM.observe`."""
        B, T = embed.shape[:2]
        state = self.initial(B) if state is None else state
        prior_noise, post_noise = noise
        step, inputs = self._prepare(embed, action, post_noise)
        post = cell.scan_time(step, inputs, state)

        # The prior feeds nothing back in closed loop: all steps at once.
        step, inputs = self._prepare(None, action, prior_noise)
        before, inputs = tf.nest.map_structure(
            lambda x: (
                None if x is None else tf.reshape(x, [B * T, x.shape[-1]])
            ),
            (cell.shift(post, state), inputs),
        )
        prior = tf.nest.map_structure(
            lambda x: tf.reshape(x, [B, T, x.shape[-1]]), step(before, inputs)
        )
        return prior, post

    def imagine(
        self,
        action: tf.Tensor,
        noise: tf.Tensor | None,
        state: State,
        read: Callable[[State], Any] = lambda state: state,
    ) -> Any:
        """Predicts without observations; see `RSSM.imagine`."""
        step, inputs = self._prepare(None, action, noise)
        # Here, as `_join` does not broadcast.
        state = cell.spread(state, action.shape[0])
        return cell.scan_time(step, inputs, state, cell.UNROLL, read)

    def _prepare(
        self,
        embed: tf.Tensor | None,
        action: tf.Tensor,
        noise: tf.Tensor | None,
    ) -> tuple[Callable, tuple]:
        """The step of a scan, and its inputs [B, T, .].

        The encoder's share of embeddings and actions, most of its input, is
        one product for all steps.
        """
        start, stop = self._embed_size, self._embed_size + action.shape[-1]
        known = action
        if embed is not None:
            start, known = 0, tf.concat([embed, action], -1)
        project, encode = self.encoder.split(start, stop)
        _, decode = self.decoder.split()
        inputs = (project(known), action, noise)

        def step(previous: State, inputs: tuple) -> State:
            shares, action, eps = inputs
            x = _join(
                (self._sample_to_encoder, previous.stoch),
                (self._decoder_to_encoder, previous.decoder),
            )
            encoder = encode(x, previous.encoder, *shares)
            x = _join(
                (True, encoder),
                (self._sample_to_sample, previous.stoch),
                (self._decoder_to_sample, previous.decoder),
            )
            mean, std = self.gaussian(x)
            stoch = cell.sample(mean, std, eps)
            x = _join(
                (True, stoch),
                # The previous encoder state, as in the original, although
                # this step's is known.
                (self._encoder_to_decoder, previous.encoder),
                (self._action_to_decoder, action),
            )
            decoder = decode(x, previous.decoder)
            return State(mean, std, stoch, encoder, decoder)

        return step, inputs


def _join(*inputs: tuple[bool, tf.Tensor]) -> tf.Tensor:
    """The tensors that are wired in, concatenated; [..., 0] if none is."""
    none = inputs[0][1][..., :0]
    return tf.concat([none, *(x for wired, x in inputs if wired)], -1)
