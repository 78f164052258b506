"""The world model as a plain Keras graph, to see what our own ways save.

The same variables and noise give the same results up to rounding, in the way
one writes them down first:

- all transposed convolutions as such, the image's likelihood without XLA;
- the GRU as two products of joined inputs;
- actions and embeddings joined to the state in every step of the loop over
  time, and the prior computed in it;
- rewards of a plan read after the loop.

SSM and DRNN, which few train, keep their cells.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from planet_tf import build
from planet_tf.config import Config
from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.models import cell, rssm
from planet_tf.models.world_model import WorldModel
from planet_tf.networks import conv_ha

tfd = tfp.distributions


class Decoder(conv_ha.Decoder):
    """The image head in Keras' operations."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """As the parent's."""
        x = self.dense(tf.reshape(features, [-1, features.shape[-1]]))
        x = tf.reshape(x, [-1, 1, 1, x.shape[-1]])
        for i, kernel in enumerate(self.kernels):
            if i:
                x = self._act(x)
            x = tf.keras.ops.conv_transpose(x, kernel, strides=2)
            x = tf.nn.bias_add(x, self.biases[i])
        return tf.reshape(x, [*features.shape[:-1], *IMAGE_SHAPE])

    def log_prob(self, mean: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        """As the parent's."""
        normal = tfd.Independent(tfd.Normal(mean, 1.0), 3)
        return normal.log_prob(image)


class RSSM(rssm.RSSM):
    """The dynamics step by step."""

    def observe(
        self,
        embed: tf.Tensor,
        action: tf.Tensor,
        noise: tuple[tf.Tensor | None, tf.Tensor | None],
        state: rssm.State | None = None,
    ) -> tuple[rssm.State, rssm.State]:
        """As the parent's."""
        state = self.initial(embed.shape[0]) if state is None else state

        def step(previous: tuple, inputs: tuple) -> tuple:
            embed, action, prior_noise, post_noise = inputs
            prior = self._step(previous[1], action, prior_noise)
            mean, std = self.post(tf.concat([prior.deter, embed], -1))
            stoch = cell.sample(mean, std, post_noise)
            return prior, rssm.State(mean, std, stoch, prior.deter)

        inputs = (embed, action, *noise)
        return cell.scan_time(step, inputs, (state, state), unroll=0)

    def imagine(
        self,
        action: tf.Tensor,
        noise: tf.Tensor | None,
        state: rssm.State,
        read: Callable[[rssm.State], Any] = lambda state: state,
    ) -> Any:
        """As the parent's."""

        def step(previous: rssm.State, inputs: tuple) -> rssm.State:
            return self._step(previous, *inputs)

        inputs = (action, noise)
        return cell.scan_time(step, inputs, state, unroll=0, read=read)

    def _step(
        self, previous: rssm.State, action: tf.Tensor, noise: tf.Tensor | None
    ) -> rssm.State:
        joined = tf.concat([previous.stoch, action], -1)
        x = self._input(self._act(self.inputs[0](joined)))
        deter = self._gru(x, previous.deter)
        return self._prior(deter if self._future_rnn else x, deter, noise)

    def _gru(self, x: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        # `@` would make a product of each candidate's row.
        matmul = tf.keras.ops.matmul
        gates = matmul(tf.concat([x, state], -1), self.gru.w_ru) + self.gru.b_ru
        reset, update = tf.split(tf.sigmoid(gates), 2, -1)
        joined = tf.concat([x, reset * state], -1)
        candidate = tf.tanh(matmul(joined, self.gru.w_c) + self.gru.b_c)
        return update * state + (1 - update) * candidate


def world_model(config: Config, action_dim: int, **kwargs: Any) -> WorldModel:
    """As `build.world_model`, for a `config` with float32."""
    return build.world_model(
        config, action_dim, decoder=Decoder, rssm=RSSM, **kwargs
    )
