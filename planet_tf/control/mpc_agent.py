"""The acting agent: filter the belief, plan in latent space, add noise.

Shape letters: B batch of environments, N candidates, H horizon, A action, S
stochastic state.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from planet_tf.control.planning import Search, cross_entropy_method
from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.models.world_model import WorldModel
from planet_tf.tools.devices import in_branches
from planet_tf.tools.noise import draw_normal, draw_uniform

# Maps actions [B, N, H, A] and the iteration to returns [B, N].
Objective = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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


class Memory(NamedTuple):
    """What an agent carries from one decision to the next."""

    state: Any  # Belief, [B, .]
    action: tf.Tensor  # [B, A] in [-1, 1], the last one; zeros at first
    # [B, H, A] in [-1, 1], where the next search starts; None: at zeros.
    start: tf.Tensor | None
    image: tf.Tensor  # [B, 64, 64, 3], what `see` made of it; zeros at first


def initial(model: WorldModel, batch: int, action_dim: int) -> Memory:
    """Before the first decision; without a start for a search."""
    return Memory(
        model.dynamics.initial(batch),
        tf.zeros([batch, action_dim]),
        None,
        tf.zeros([batch, *IMAGE_SHAPE]),
    )


def perceive(
    model: WorldModel,
    image: tf.Tensor,
    memory: Memory,
    image_noise: tf.Tensor | None,
    post_noise: tf.Tensor | None,
) -> tuple[Any, tf.Tensor]:
    """The belief given one more image.

    Args:
        model: Whose belief it is.
        image: uint8 [B, 64, 64, 3].
        memory: Of the previous decision, whose action led to `image`.
        image_noise: As in `PolicyNoise`.
        post_noise: The same, `post`.

    Returns:
        The state, [B, .], and what `see` made of the image.
    """
    x = model.see(image, image_noise)
    _, post = model.dynamics.observe(
        model.embed(x[:, None], memory.image),
        memory.action[:, None],
        (None, None if post_noise is None else post_noise[:, None]),
        memory.state,
    )
    return tf.nest.map_structure(lambda x: x[:, 0], post), x


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
        action_noise: Standard deviation of exploration noise on the first
            action of the plan; 0 for evaluation. Can be set at any time.
        record: Keep what the planner thought; costs one more iteration.

    Attributes:
        model: The same.
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
        action_noise: float = 0.0,
        record: bool = False,
    ):
        if record and not iterations:
            raise ValueError("record needs at least one planner iteration")
        self.action_noise = action_noise
        self.model = model
        self._action_dim = action_dim
        self._objective = objective
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
        """What plans are chosen by: see `predicted_return`.

        With a value function, rewards over the horizon are discounted and the
        value of the last state is added. The disagreement of an ensemble is
        summed up over the horizon.
        """
        model = self.model
        features = model.dynamics.features

        def bootstrapped(actions, imagine) -> tf.Tensor:
            rewards, states = imagine(
                lambda state: (model.reward(features(state)), features(state))
            )
            return model.value.bootstrapped(rewards, states[:, -1])

        def disagreement(actions, imagine) -> tf.Tensor:
            states = imagine(features)
            first = tf.broadcast_to(features(state), states[:, 0].shape)
            states = tf.concat([first[:, None], states[:, :-1]], 1)
            found = model.ensemble.disagreement(states, actions)
            return tf.reduce_sum(found, 1)

        # Deviates from planet: the value is its paper's outlook, disagreement
        # Plan2Explore's objective; effect on return: none when off.
        if self._objective == "disagreement":
            return self._evaluated(state, latent, disagreement)
        if model.value:
            return self._evaluated(state, latent, bootstrapped)
        return self.predicted_return(state, latent)

    def predicted_return(
        self, state: Any, latent: tf.Tensor | None
    ) -> Objective:
        """The original's objective: sum of mean rewards over the horizon.

        All candidates of a row share one posterior sample. The current
        state's own reward is not counted; nothing is discounted.
        """
        model = self.model

        def total(actions, imagine) -> tf.Tensor:
            rewards = imagine(
                lambda state: model.reward(model.dynamics.features(state))
            )
            return tf.reduce_sum(rewards, 1)

        return self._evaluated(state, latent, total)

    def _evaluated(
        self, state: Any, latent: tf.Tensor | None, evaluate: Callable
    ) -> Objective:
        """An objective for candidates that all start from one state.

        Args:
            state: [B, .].
            latent: Noise of what is imagined, see `PolicyNoise`.
            evaluate: Maps actions [N, H, B, A] and a function, which imagines
                their states and returns what another one reads of each, to
                [N, B].
        """
        model = self.model
        shared = tf.nest.map_structure(lambda x: x[None], state)
        # Read once, so that TensorFlow casts them once for all steps.
        weights = [(x, tf.convert_to_tensor(x)) for x in model.variables]

        def evaluated(actions, noise) -> tf.Tensor:
            imagine = functools.partial(
                model.dynamics.imagine, actions, noise, shared
            )
            with tf.keras.StatelessScope(weights):
                return evaluate(actions, imagine)

        def rows_inside(x: tf.Tensor) -> tf.Tensor:
            """[B, N, H, .] to [N, H, B, .], which moves nothing if B is 1."""
            return tf.transpose(x, [1, 2, 0, 3])

        def objective(actions: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
            # Deviates from planet: candidates of an environment start from
            # its own state; the original's get mixed up when there are several
            # environments (no effect on one). The state is not copied, so that
            # its products in the first step are computed once.
            noise = None if latent is None else rows_inside(latent[i])
            found = in_branches(evaluated, rows_inside(actions), noise)
            return tf.transpose(found)

        return objective
