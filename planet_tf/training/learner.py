"""The gradient step."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from planet_tf.models.world_model import Metrics, WorldModel


class Learner:
    """Owns the optimizer; `update` is the only compiled training function.

    Args:
        model: What to train.
        learning_rate: Of Adam.
        clip: Largest global norm of the gradient.
    """

    def __init__(
        self,
        model: WorldModel,
        learning_rate: float = 1e-3,
        clip: float = 1000.0,
    ):
        self._model = model
        self._clip = clip
        # Keras adds epsilon to the uncorrected root of the second moment, as
        # TF1 did; at this size, the other convention learns differently.
        self.optimizer = tf.keras.optimizers.Adam(learning_rate, epsilon=1e-4)
        # Creates the slots now, so that a checkpoint can fill them.
        self.optimizer.build(model.trainable_variables)

    @tf.function
    def update(self, batch: dict[str, tf.Tensor], seed: tf.Tensor) -> Metrics:
        """One gradient step.

        Args:
            batch: image uint8 [B, T, 64, 64, 3], action [B, T, A], reward
                [B, T].
            seed: int32 [2]; fixes all noise of this step.

        Returns:
            The scalars of `WorldModel.loss`, `learning_rate`, `grad_norm`
            before clipping and `clipped_grad_norm` after it, of the model's own
            variables, and `skipped`:
            1 where loss or gradient were not finite, so that the
            weights were left alone.
        """
        B, T = batch["image"].shape[:2]
        noise = self._model.draw_noise(seed, B, T)
        return self.step(batch, noise)

    def trace(self, batch: Mapping[str, np.ndarray]) -> None:
        """Makes the graph of `update` for such batches; no gradient step."""
        if not tf.config.functions_run_eagerly():
            self.update.get_concrete_function(batch, tf.constant([0, 0]))

    def step(self, batch: dict[str, tf.Tensor], noise) -> Metrics:
        """As `update`, with given noise."""
        with tf.GradientTape() as tape:
            loss, metrics = self._model.loss(batch, noise)
        groups = self._model.variable_groups
        # Clipped apart, so that what only observes the model cannot shorten
        # its step.
        clipped = [
            tf.clip_by_global_norm(gradients, self._clip)
            for gradients in tape.gradient(loss, groups)
        ]
        # Some variants leave variables without a gradient (a prior nobody
        # trains, say): they keep their values, and the norm is the others'.
        gradients, variables = zip(
            *[
                (gradient, variable)
                for (gradients, _), variables in zip(
                    clipped, groups, strict=True
                )
                for gradient, variable in zip(gradients, variables, strict=True)
                if gradient is not None
            ],
            strict=True,
        )
        norms = tf.stack([norm for _, norm in clipped])
        # Deviates from planet: one bad batch must not destroy a run, whose
        # weights would be NaN for good; effect on return: none otherwise.
        finite = tf.math.is_finite(loss + tf.reduce_sum(norms))
        tf.cond(
            finite,
            lambda: self.optimizer.apply(gradients, variables),
            lambda: None,
        )
        skipped = 1.0 - tf.cast(finite, tf.float32)
        return {
            **metrics,
            "learning_rate": self.optimizer.learning_rate,
            "grad_norm": norms[0],
            "clipped_grad_norm": tf.minimum(norms[0], self._clip),
            "skipped": skipped,
        }
