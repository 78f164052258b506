"""The world model: encoder, latent dynamics and heads under one loss.

Shape letters: B batch, T time, A action, S stochastic state, F features.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import tensorflow as tf

from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.models import cell
from planet_tf.models.disagreement import Ensemble
from planet_tf.models.overshooting import overshoot
from planet_tf.models.value import Value
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder
from planet_tf.tools.devices import in_branches
from planet_tf.tools.noise import draw_normal, draw_uniform
from planet_tf.tools.preprocess import postprocess, preprocess

Metrics = dict[str, tf.Tensor]

# Changes are small beside images: three times them are mostly in [-1, 1].
_MOTION = 3.0


class Noise(NamedTuple):
    """All randomness of one pass over a batch."""

    image: tf.Tensor | None  # [B, T, 64, 64, 3] uniform in [0, 1)
    prior: tf.Tensor | None  # [B, T, S] standard normal, like what follows
    post: tf.Tensor | None  # [B, T, S]
    overshooting: tf.Tensor | None = None  # [B, T, distance, S]
    # [B, K] int32, the rows whose image is compared; None: all of them.
    image_rows: tf.Tensor | None = None


class Prediction(NamedTuple):
    """What latent states [B, T] say about the batch they belong to."""

    image: tf.Tensor  # [B, T, 64, 64, 3] in [0, 1], at `image_bits`
    values: dict[str, tf.Tensor]  # [B, T, ...] of every head but the image's
    log_prob: dict[str, tf.Tensor]  # [B, T] of every head's target
    entropy: tf.Tensor  # [B, T] of the state in nats
    std: tf.Tensor  # [B, T] of the state, mean over S


class OpenLoop(NamedTuple):
    """Held-out sequences, and what the model makes of them."""

    truth: tf.Tensor  # [B, T, 64, 64, 3] in [0, 1], at `image_bits`
    prior: Prediction  # One step ahead, having seen all images before.
    post: Prediction  # Having seen the image too: a reconstruction.
    open: Prediction  # `post` in the context, from actions alone after it.
    kl: tf.Tensor  # [B, T] KL(post || open) in nats; 0 in the context


class WorldModel(tf.keras.layers.Layer):
    """p(image, reward | actions) with latent dynamics (paper, section 3).

    Args:
        dynamics: A cell, see `models/cell.py`.
        encoder: Images to embeddings.
        image: Image head.
        reward: Reward head.
        diagnostics: Heads by key of the batch, trained to predict simulator
            variables.
        value: What comes after a plan; no gradient of it or of the ensemble
            reaches the rest.
        ensemble: What exploring without rewards plans for.
        gradient_heads: Heads whose loss trains encoder and dynamics too. The
            others read features that pass no gradient on.
        image_bits: Colour depth the model sees, 1 to 8.
        encode_motion: The encoder, of 6 channels, also sees how each image
            differs from the one before.
        image_every: Each chunk compares one image in so many rows.
        center_images: The networks see, and predict, differences to
            `background`.
        mean_only: Means instead of samples in the latent state.
        image_scale: Weight of the image's negative log-likelihood.
        reward_scale: Weight of the reward's; 10 in the released code.
        value_scale: Weight of the value's.
        divergence_scale: Weight of the KL term.
        free_nats: KL below this many nats a step costs nothing; None: no floor.
        prior_scale: Weight of KL(stop_gradient(post) || prior), which does
            not pull a step's posterior to its prior, and has no free nats.
            (In drnn both share weights.)
        global_scale: Weight of KL(post || Normal(0, 1)).
        overshooting_scale: Weight of latent overshooting.
        overshooting_reward_scale: Weight of the reward's negative
            log-likelihood under predictions 1 to `overshooting_distance` steps
            ahead.
        overshooting_distance: Steps ahead. The KL counts from 2 on, as one
            step ahead is the KL term: at least 2 with `overshooting_scale`, 1
            with `overshooting_reward_scale` alone.
        overshooting_stop: Overshooting trains the predictions alone, not the
            posteriors they are compared with (`os_stop_posterior_grad`).

    Attributes:
        background: With `center_images`, a variable [64, 64, 3] in the space
            of preprocessed pixels; zeros until someone assigns a mean image.
    """

    def __init__(
        self,
        dynamics: tf.keras.layers.Layer,
        encoder: Encoder,
        image: Decoder,
        reward: VectorHead,
        *,
        diagnostics: dict[str, VectorHead] | None = None,
        value: Value | None = None,
        ensemble: Ensemble | None = None,
        gradient_heads: Collection[str] = ("image", "reward"),
        image_bits: int = 5,
        encode_motion: bool = False,
        image_every: int = 1,
        center_images: bool = False,
        mean_only: bool = False,
        image_scale: float = 1.0,
        reward_scale: float = 10.0,
        value_scale: float = 1.0,
        divergence_scale: float = 1.0,
        free_nats: float | None = 3.0,
        prior_scale: float = 0.0,
        global_scale: float = 0.0,
        overshooting_scale: float = 0.0,
        overshooting_reward_scale: float = 0.0,
        overshooting_distance: int = 0,
        overshooting_stop: bool = True,
    ):
        super().__init__(name="world_model")
        overshoots = overshooting_scale or overshooting_reward_scale
        least = 2 if overshooting_scale else 1
        if overshoots and overshooting_distance < least:
            raise ValueError(
                f"overshooting compares predictions {least} to "
                "`overshooting_distance` steps ahead, which must be at least "
                f"{least}, not {overshooting_distance}"
            )
        self.dynamics = dynamics
        self.encoder = encoder
        self.image = image
        self.reward = reward
        self.diagnostics = diagnostics or {}
        self.value = value
        self.ensemble = ensemble
        self.image_bits = image_bits
        self.mean_only = mean_only
        self.encode_motion = encode_motion
        self.background = None
        if center_images:
            self.background = self.add_weight(
                shape=IMAGE_SHAPE,
                initializer="zeros",
                trainable=False,
                name="background",
            )
        self._image_every = image_every
        self._gradient_heads = frozenset(gradient_heads)
        self._free_nats = free_nats
        self._distance = overshooting_distance if overshoots else 0
        self._stop = overshooting_stop
        # Log-probabilities are to grow, divergences to shrink. What has no
        # weight trains nothing; heads, and the divergence, are measured.
        self._scales = {
            "image": -image_scale,
            "reward": -reward_scale,
            **{name: -1.0 for name in self.diagnostics},
            "divergence": divergence_scale,
            "prior_divergence": prior_scale,
            "global_divergence": global_scale,
            "overshooting": overshooting_scale,
            "overshooting_reward": -overshooting_reward_scale,
        }
        if value:
            self._scales["value"] = -value_scale
        if ensemble:
            self._scales["ensemble"] = -1.0
        self._scales = {k: v for k, v in self._scales.items() if v}
        self.built = True

    @property
    def variable_groups(self) -> list[list[tf.Variable]]:
        """The model's variables, then those of each part without gradient.

        What trains one group does not depend on the others, but that an
        update is left out where any of them is not finite.
        """
        trained = set(self._scales)
        if "overshooting_reward" in trained:
            trained.add("reward")
        frozen = [
            head.trainable_variables
            for name, head in self._heads.items()
            if name not in self._gradient_heads and name in trained
        ]
        observers = filter(None, (self.value, self.ensemble))
        frozen += [observer.trainable_variables for observer in observers]
        apart = {id(variable) for group in frozen for variable in group}
        own = [v for v in self.trainable_variables if id(v) not in apart]
        return [own, *frozen]

    @property
    def _heads(self) -> dict[str, tf.keras.layers.Layer]:
        return {"image": self.image, "reward": self.reward, **self.diagnostics}

    def draw_noise(self, seed: tf.Tensor, batch: int, length: int) -> Noise:
        """Noise for `loss` or `open_loop`: the same seed, the same noise."""
        seeds = tf.random.split(seed, 4)
        image = draw_uniform([batch, length, *IMAGE_SHAPE], seeds[0])
        image_rows = None
        if self._image_every > 1:
            image_rows = self._draw_rows(seeds[0], batch, length)
        if self.mean_only:
            return Noise(image, None, None, None, image_rows)
        size = self.dynamics.stoch_size
        overshooting = None
        if self._distance:
            shape = [batch, length, self._distance, size]
            overshooting = draw_normal(shape, seeds[3])
        return Noise(
            image,
            draw_normal([batch, length, size], seeds[1]),
            draw_normal([batch, length, size], seeds[2]),
            overshooting,
            image_rows,
        )

    def _draw_rows(self, seed: tf.Tensor, batch: int, length: int) -> tf.Tensor:
        """Evenly spaced rows of each chunk, all equally likely."""
        # Held-out chunks may be shorter than those of training.
        count = max(length // self._image_every, 1)
        first = tf.random.stateless_uniform(
            [batch, 1], tf.random.fold_in(seed, 1), 0, length, tf.int32
        )
        # From the last row on to the first: no row is drawn more often.
        return (first + self._image_every * tf.range(count)) % length

    @tf.function(jit_compile=True)  # One pass over the pixels.
    def see(self, image: tf.Tensor, noise: tf.Tensor | None) -> tf.Tensor:
        """What the encoder reads and the image head predicts.

        Args:
            image: uint8 [..., 64, 64, 3].
            noise: Uniform in [0, 1), of the same shape, or None.
        """
        x = preprocess(image, self.image_bits, noise)
        return x if self.background is None else x - self.background

    def embed(self, x: tf.Tensor, before: tf.Tensor | None = None) -> tf.Tensor:
        """Embeddings of images.

        Args:
            x: [B, T, 64, 64, 3], from `see`.
            before: [B, 64, 64, 3], what `see` made of the image before the
                first. By default zeros, also at the start of an episode: the
                mean image with `center_images`, otherwise gray. Without
                `encode_motion` not used.

        Returns:
            [B, T, E].
        """
        if not self.encode_motion:
            return self.encoder(x)
        # Deviates from planet: optional. After few updates a model's images
        # are coarse: it knows poses but no speeds, which some tasks reward;
        # effect on return: none when off.
        first = tf.zeros_like(x[:, :1]) if before is None else before[:, None]
        motion = x - tf.concat([first, x[:, :-1]], 1)
        return self.encoder(tf.concat([x, _MOTION * motion], -1))

    def show(self, x: tf.Tensor) -> tf.Tensor:
        """Inverse of `see` with noise, at `image_bits`: mostly in [0, 1]."""
        if self.background is not None:
            x = x + self.background
        return postprocess(x, self.image_bits)

    def loss(
        self, batch: dict[str, tf.Tensor], noise: Noise
    ) -> tuple[tf.Tensor, Metrics]:
        """The training objective (paper, equation 6; `compute_losses`).

        image NLL + 10 * reward NLL + max(0, KL(post || prior) - free nats),
        each averaged over batch and time.

        Args:
            batch: image uint8 [B, T, 64, 64, 3], action [B, T, A], reward
                [B, T]; row t of action led to row t of image and reward.
            noise: See `draw_noise`.

        Returns:
            The loss, and scalars by name: log-probabilities `image` and
            `reward`, `divergence` after free nats, `kl` before.
        """
        return self._total(*in_branches(self.objectives, batch, noise))

    def _total(
        self, steps: dict[str, tf.Tensor], prior: Any, post: Any
    ) -> tuple[tf.Tensor, Metrics]:
        """What `loss` returns, from what `objectives` does."""
        terms = {name: tf.reduce_mean(x) for name, x in steps.items()}
        weighted = {
            name: scale * terms[name] for name, scale in self._scales.items()
        }
        loss = tf.add_n(list(weighted.values()))
        # What only observes the model would be most of this number, and grows
        # with returns.
        observers = ("value", "ensemble")
        own = [x for name, x in weighted.items() if name not in observers]
        metrics = {
            "loss": tf.add_n(own) if own else 0.0,
            **terms,
            "prior_entropy": tf.reduce_mean(cell.dist(prior).entropy()),
            "post_entropy": tf.reduce_mean(cell.dist(post).entropy()),
            "prior_std": tf.reduce_mean(prior.std),
            "post_std": tf.reduce_mean(post.std),
        }
        return loss, metrics

    def objectives(
        self, batch: dict[str, tf.Tensor], noise: Noise
    ) -> tuple[dict[str, tf.Tensor], Any, Any]:
        """What `loss` averages, for each step.

        Args:
            batch: See `loss`, as for `noise`.
            noise: See `draw_noise`.

        Returns:
            The terms by name, [B, T] each ([B, K] with `noise.image_rows` for
            the image; [B, T - 1] for `value`, `ensemble` and `disagreement`;
            overshooting: see `_overshooting`), and the prior and posterior
            states.
        """
        target = self.see(batch["image"], noise.image)
        prior, post = self.dynamics.observe(
            self.embed(target), batch["action"], (noise.prior, noise.post)
        )
        features = self.dynamics.features(post)
        frozen = tf.stop_gradient(features)
        targets = {**batch, "image": target}
        steps = {}
        for name, head in self._heads.items():
            inputs = features if name in self._gradient_heads else frozen
            wanted = targets[name]
            if name == "image" and noise.image_rows is not None:
                # Deviates from planet: optional, as drawing images is most of
                # an update, and those of neighbouring rows tell the model
                # nearly the same; effect on return: none when off.
                inputs, wanted = (
                    tf.gather(x, noise.image_rows, batch_dims=1)
                    for x in (inputs, wanted)
                )
            steps[name] = head.log_prob(head(inputs), wanted)
        if self.value:
            steps["value"] = self.value.log_prob(frozen, batch["reward"])
        if self.ensemble:
            steps["ensemble"] = self.ensemble.log_prob(
                frozen, batch["action"], tf.stop_gradient(post.mean)
            )
            # To look at: where exploring goes, and whether anything is left.
            steps["disagreement"] = self.ensemble.disagreement(
                frozen[:, :-1], batch["action"][:, 1:]
            )
        steps["kl"] = cell.kl_divergence(post, prior)
        steps["divergence"] = self._beyond_free_nats(steps["kl"])
        if "prior_divergence" in self._scales:
            # Deviates from planet: optional; with a small `divergence_scale`,
            # KL balancing (Hafner et al., 2021, "Mastering Atari with Discrete
            # World Models", section 2). Without, a prior whose steps are all
            # within the free nats learns nothing; effect on return: none when
            # off.
            still = tf.nest.map_structure(tf.stop_gradient, post)
            steps["prior_divergence"] = cell.kl_divergence(still, prior)
        if "global_divergence" in self._scales:
            # The original names this term and has no code for it.
            unit = post._replace(
                mean=tf.zeros_like(post.mean), std=tf.ones_like(post.std)
            )
            steps["global_divergence"] = cell.kl_divergence(post, unit)
        if self._distance:
            steps |= self._overshooting(batch, post, noise.overshooting)
        return steps, prior, post

    def _overshooting(
        self, batch: dict[str, tf.Tensor], post: Any, noise: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Terms that compare predictions from every step with what came.

        Returns:
            Those with a weight: `overshooting`, the KL 2 to D steps ahead, [B,
            T, D - 1]; `overshooting_reward`, the log-probability of rewards 1
            to D steps ahead, [B, T, D], whose mean is that of entries within
            the chunk.
        """
        prior, (target, reward), mask = overshoot(
            self.dynamics,
            batch["action"],
            post,
            noise,
            self._distance,
            (post, batch["reward"]),
        )
        steps = {}
        if "overshooting" in self._scales:
            if self._stop:
                target = tf.nest.map_structure(tf.stop_gradient, target)
            kl = self._beyond_free_nats(cell.kl_divergence(target, prior))
            # Deviates from planet: entries past the end of the chunk are 0,
            # where the released code computes NaN. They stay in the
            # denominator of the mean, as in its gradient.
            steps["overshooting"] = (mask * kl)[:, :, 1:]
        if "overshooting_reward" in self._scales:
            # Deviates from planet: optional, overshooting of an observation
            # (paper, section 4) that costs little. A plan is chosen by rewards
            # that are imagined, of which the loss otherwise says nothing;
            # effect on return: none when off.
            features = self.dynamics.features(prior)
            if "reward" not in self._gradient_heads:
                features = tf.stop_gradient(features)
            log_prob = self.reward.log_prob(self.reward(features), reward)
            steps["overshooting_reward"] = (
                mask / tf.reduce_mean(mask) * log_prob
            )
        return steps

    def _beyond_free_nats(self, kl: tf.Tensor) -> tf.Tensor:
        # Per step, before any mean: one step's slack is not lent to another.
        if self._free_nats is None:
            return kl
        return tf.maximum(0.0, kl - self._free_nats)

    @tf.function
    def open_loop(
        self, batch: dict[str, tf.Tensor], seed: tf.Tensor, context: int = 5
    ) -> tuple[OpenLoop, Metrics]:
        """Filters `context` steps, then predicts the rest from actions alone.

        Args:
            batch: As for `loss`, with T > `context`.
            seed: int32 [2].
            context: Steps with observations; 5 as in the paper's videos.

        Returns:
            The predictions, and the scalars of `loss` on this batch, which
            are closed loop.
        """
        B, T = batch["image"].shape[:2]
        noise = self.draw_noise(seed, B, T)
        steps, prior, post = in_branches(self.objectives, batch, noise)
        seen = tf.nest.map_structure(lambda x: x[:, :context], post)
        imagined = self.dynamics.imagine(
            batch["action"][:, context:],
            None if noise.prior is None else noise.prior[:, context:],
            tf.nest.map_structure(lambda x: x[:, -1], seen),
        )
        state = tf.nest.map_structure(
            lambda *x: tf.concat(x, axis=1), seen, imagined
        )
        target = self.see(batch["image"], noise.image)
        targets = {**batch, "image": target}
        predictions = OpenLoop(
            self.show(target),
            *(self._predict(x, targets) for x in (prior, post, state)),
            cell.kl_divergence(post, state),
        )
        return predictions, self._total(steps, prior, post)[1]

    def _predict(self, state: Any, targets: dict[str, tf.Tensor]) -> Prediction:
        """Decodes states [B, T, .] and compares them with what is seen."""
        features = self.dynamics.features(state)
        means = {name: head(features) for name, head in self._heads.items()}
        log_prob = {
            name: head.log_prob(means[name], targets[name])
            for name, head in self._heads.items()
        }
        image = self.show(means.pop("image"))
        return Prediction(
            tf.clip_by_value(image, 0.0, 1.0),
            means,
            log_prob,
            cell.dist(state).entropy(),
            tf.reduce_mean(state.std, -1),
        )
