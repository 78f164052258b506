"""The acting agent: filter the belief, plan in latent space, add noise.

Shape letters: B batch of environments, N candidates, H horizon, A action, S
stochastic state.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from planet_tf.control.belief import Memory, initial, perceive
from planet_tf.control.objectives import (
    Objective,
    bootstrapped,
    disagreement,
    for_candidates,
    total_reward,
)
from planet_tf.control.planning import Search, cross_entropy_method
from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.models.world_model import WorldModel
from planet_tf.tools.noise import draw_normal, draw_uniform


class PolicyNoise(NamedTuple):
    """All randomness of one decision; I is the planner's iterations."""

    image: tf.Tensor | None  # [B, 64, 64, 3] uniform in [0, 1)
    post: tf.Tensor | None  # [B, S] standard normal, like all that follow
    plan: tf.Tensor  # [I, B, N, H, A]
    latent: tf.Tensor | None  # [I, B, N, H, S]; I + 1 for agents that record
    explore: tf.Tensor  # [B, A]


class PlanRecord(NamedTuple):
    """What the planner thought about one decision."""

    # [B] Return that the model predicts for the plan over the horizon.
    predicted: tf.Tensor
    search: Search


class MPCAgent:
    """Model-predictive control with a learned model (original `mpc_agent.py`).

    Args:
        model: Shared with the learner; plans always use its newest weights.
        action_dim: A.
        objective: "reward", or "disagreement" of the model's ensemble.
        horizon: Decisions H to look ahead.
        candidates: Action sequences N tried in each iteration.
        elites: The best of them, which the next iteration samples around.
        iterations: Of the cross-entropy method.
        warm_start: Search around what the last plan left to do.
        record: Keep what the planner thought; costs one more iteration.

    Attributes:
        model: The same.
        action_noise: Standard deviation of exploration noise on the first
            action of a plan, to be set at any time; 0 at first.
        memory: After the last decision; a `Memory`.
        records: With `record`, a `PlanRecord` of NumPy arrays for every
            decision since `reset`.
    """

    def __init__(
        self,
        model: WorldModel,
        action_dim: int,
        *,
        objective: str = "reward",
        horizon: int = 12,
        candidates: int = 1000,
        elites: int = 100,
        iterations: int = 10,
        warm_start: bool = False,
        record: bool = False,
    ):
        if record and not iterations:
            raise ValueError("record needs at least one planner iteration")
        self.action_noise = 0.0
        self.model = model
        self._action_dim = action_dim
        # Deviates from planet: the value is its paper's outlook, disagreement
        # Plan2Explore's objective; effect on return: none when off.
        self._evaluate = total_reward
        if objective == "disagreement":
            self._evaluate = disagreement
        elif model.value:
            self._evaluate = bootstrapped
        self._horizon = horizon
        self._candidates = candidates
        self._elites = elites
        self._iterations = iterations
        self._warm_start = warm_start
        self._record = record

    def reset(self, batch: int = 1, seed: int = 0) -> None:
        """Forgets everything, for `batch` new episodes; seeds their noise."""
        self.memory = initial(self.model, batch, self._action_dim)
        if self._warm_start:
            start = tf.zeros([batch, self._horizon, self._action_dim])
            self.memory = self.memory._replace(start=start)
        self._seed = tf.random.split(tf.constant([seed, 0], tf.int32), 1)[0]
        self._steps = 0
        self.records = []

    def act(self, image: np.ndarray) -> np.ndarray:
        """Decides on one action for each environment.

        Args:
            image: uint8 [B, 64, 64, 3], the newest frame of each.

        Returns:
            float32 [B, A] in [-1, 1].
        """
        # Tensors only: Python numbers would trace the policy again.
        seed = self._seed + tf.constant([self._steps, 0], tf.int32)
        self.memory, *record = self.policy(
            tf.constant(image),
            self.memory,
            tf.constant(self.action_noise, tf.float32),
            seed,
        )
        self._steps += 1
        self.records += tf.nest.map_structure(lambda x: x.numpy(), record)
        return self.memory.action.numpy()

    @tf.function
    def policy(
        self,
        image: tf.Tensor,
        memory: Memory,
        action_noise: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple:
        """One decision from image to action, in one graph: see `decide`."""
        noise = self.draw_noise(seed, image.shape[0])
        return self.decide(image, memory, action_noise, noise)

    def draw_noise(self, seed: tf.Tensor, batch: int) -> PolicyNoise:
        """Noise for one decision: the same seed, the same noise."""
        seeds = tf.random.split(seed, 5)
        stoch = self.model.dynamics.stoch_size
        shape = [batch, self._candidates, self._horizon]
        post = latent = None
        if not self.model.mean_only:
            post = draw_normal([batch, stoch], seeds[1])
            # Each iteration's apart: cores draw side by side, and a recording
            # agent can draw once more without changing the plan.
            draws = self._iterations + self._record
            latent = [
                draw_normal([*shape, stoch], tf.random.fold_in(seeds[3], i))
                for i in range(draws)
            ]
            latent = tf.stack(latent) if latent else None
        return PolicyNoise(
            draw_uniform([batch, *IMAGE_SHAPE], seeds[0]),
            post,
            draw_normal([self._iterations, *shape, self._action_dim], seeds[2]),
            latent,
            draw_normal([batch, self._action_dim], seeds[4]),
        )

    def decide(
        self,
        image: tf.Tensor,
        memory: Memory,
        action_noise: tf.Tensor,
        noise: PolicyNoise,
    ) -> tuple:
        """Filters, plans and explores.

        Args:
            image: uint8 [B, 64, 64, 3].
            memory: Of the previous decision, whose action led to `image`.
            action_noise: Scalar standard deviation.
            noise: See `draw_noise`.

        Returns:
            The next memory: the belief given `image`, the action to execute,
            where the next search starts, and what was seen; a `PlanRecord`,
            if the agent records.
        """
        state, x = perceive(self.model, image, memory, noise.image, noise.post)
        start = memory.start
        plan = cross_entropy_method(
            self.objective(state, noise.latent),
            noise.plan,
            elites=self._elites,
            start=start,
            record=self._record,
        )
        record = []
        if self._record:
            plan, search = plan
            # An expectation, as the planner's own: over as many samples of
            # the latent future as it has candidates. New ones, as those of
            # its iterations had a part in choosing the plan.
            same = tf.repeat(plan[:, None], self._candidates, 1)
            predicted_return = self.predicted_return(state, noise.latent)
            returns = predicted_return(same, tf.constant(self._iterations))
            record = [PlanRecord(tf.reduce_mean(returns, 1), search)]
        if start is not None:
            # Deviates from planet: optional; its searches know nothing of
            # each other. Few candidates and iterations go further from what
            # the last ones found. Nothing is known of the new last step;
            # effect on return: none when off.
            start = tf.pad(plan[:, 1:], [[0, 0], [0, 1], [0, 0]])
        action = plan[:, 0] + action_noise * noise.explore
        action = tf.clip_by_value(action, -1.0, 1.0)
        return Memory(state, action, start, x), *record

    def objective(self, state: Any, latent: tf.Tensor | None) -> Objective:
        """What plans are chosen by, for beliefs [B, .] and their noise."""
        return for_candidates(self._evaluate, self.model, state, latent)

    def predicted_return(
        self, state: Any, latent: tf.Tensor | None
    ) -> Objective:
        """The original's objective, whatever plans are chosen by."""
        return for_candidates(total_reward, self.model, state, latent)
