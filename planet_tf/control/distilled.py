"""The planner distilled into a policy: a small network instead of a search."""

import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from planet_tf.control.belief import Memory, initial, perceive
from planet_tf.control.mpc_agent import MPCAgent
from planet_tf.control.tasks import IMAGE_SHAPE
from planet_tf.models.world_model import WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.tools.files import UNREADABLE, atomic_write
from planet_tf.tools.noise import draw_normal, draw_uniform

Labels = tuple[np.ndarray, np.ndarray]  # Features [n, F], planned actions.


class Policy(tf.keras.layers.Layer):
    """What the planner would do, from features [..., F] to actions [..., A].

    Args:
        head: The network; tanh keeps what it predicts in [-1, 1].
    """

    def __init__(self, head: VectorHead):
        super().__init__(name="policy")
        self.head = head
        self.built = True

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Actions [..., A] in [-1, 1]."""
        return tf.tanh(self.head(features))


class DistilledAgent:
    """Filters the belief as `MPCAgent` does, and asks a policy.

    Args:
        model: A trained one.
        policy: Learned on its features.
        action_dim: A.
    """

    records = ()  # Nothing is planned.

    def __init__(self, model: WorldModel, policy: Policy, action_dim: int):
        self._model = model
        self._policy = policy
        self._action_dim = action_dim

    def reset(self, batch: int = 1, seed: int = 0) -> None:
        """As `MPCAgent.reset`."""
        self.memory = initial(self._model, batch, self._action_dim)
        self._seed = tf.constant([seed, 0], tf.int32)

    def act(self, image: np.ndarray) -> np.ndarray:
        """As `MPCAgent.act`."""
        self.memory = self.decide(tf.constant(image), self.memory, self._seed)
        self._seed += tf.constant([0, 1])
        return self.memory.action.numpy()

    @tf.function
    def decide(
        self, image: tf.Tensor, memory: Memory, seed: tf.Tensor
    ) -> Memory:
        """One decision in one graph: images uint8 [B, 64, 64, 3]."""
        model, batch = self._model, image.shape[0]
        seeds = tf.random.split(seed, 2)
        post = None
        if not model.mean_only:
            post = draw_normal([batch, model.dynamics.stoch_size], seeds[1])
        seen = draw_uniform([batch, *IMAGE_SHAPE], seeds[0])
        state, x = perceive(model, image, memory, seen, post)
        action = self._policy(model.dynamics.features(state))
        return Memory(state, action, None, x)


class Imitator:
    """Plays with a policy while the planner says what it would have done.

    The planner's actions are wanted in the states that the policy gets into,
    not in its own alone (DAgger; Ross et al., 2011).

    Args:
        agent: The planner.
        policy: Who plays; None: the planner.
    """

    def __init__(self, agent: MPCAgent, policy: Policy | None = None):
        self._agent = agent
        self._policy = policy
        self._labels = []

    def reset(self, batch: int = 1, seed: int = 0) -> None:
        """As `MPCAgent.reset`."""
        self._agent.reset(batch, seed)

    def act(self, image: np.ndarray) -> np.ndarray:
        """As `MPCAgent.act`."""
        agent = self._agent
        planned = agent.act(image)
        features = agent.model.dynamics.features(agent.memory.state)
        self._labels.append((features.numpy(), planned))
        if self._policy is None:
            return planned
        action = self._policy(features)
        agent.memory = agent.memory._replace(action=action)
        return action.numpy()

    def take(self, lengths: Sequence[int], action_dim: int) -> Labels:
        """The labels since the last call, of one episode in each world.

        Args:
            lengths: In decisions. A world that is done is still shown until
                all are.
            action_dim: Of these worlds. The planner of an agent with wider
                actions draws the others by chance; as labels, they are 0.
        """
        features, actions = map(np.stack, zip(*self._labels, strict=True))
        self._labels = []
        actions[..., action_dim:] = 0
        decision = np.arange(len(features))[:, None]
        played = decision < np.array(lengths)  # [T, B]
        return features[played], actions[played]


def fit(
    policy: Policy,
    labels: Labels,
    updates: int,
    batch: int,
    rng: np.random.Generator,
) -> None:
    """Learns planned actions by their squared error.

    The learning rate falls to zero: labels have the noise of the search, and
    so has what was learned from the last few of them.

    Args:
        policy: Learns.
        labels: As many as there are.
        updates: Gradient steps.
        batch: Labels in each, drawn at random.
        rng: Draws them.
    """
    variables = policy.trainable_variables
    rate = tf.keras.optimizers.schedules.CosineDecay(1e-3, updates)
    optimizer = tf.keras.optimizers.Adam(rate)
    optimizer.build(variables)

    @tf.function
    def update(features: tf.Tensor, actions: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            error = policy(features) - actions
            loss = tf.reduce_mean(tf.square(error))
        optimizer.apply(tape.gradient(loss, variables), variables)

    for _ in range(updates):
        some = rng.integers(0, len(labels[0]), batch)
        update(*(tf.constant(x[some]) for x in labels))


def explained(policy: Policy, labels: Labels) -> float:
    """The share of the planned actions' variance, at most 1 (R squared)."""
    features, actions = labels
    error = np.square(policy(tf.constant(features)).numpy() - actions).sum()
    variance = np.square(actions - actions.mean(0)).sum()
    return float(1 - error / variance)


def save(policy: Policy, path: pathlib.Path) -> None:
    """Writes the weights; raises OSError that names the file."""
    weights = {str(i): w for i, w in enumerate(policy.get_weights())}
    with atomic_write(path) as file:
        np.savez(file, **weights)


def restore(policy: Policy, path: pathlib.Path) -> None:
    """Reads what `save` wrote.

    Raises:
        ValueError: It cannot be read, or is of another network.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            policy.set_weights([file[str(i)] for i in range(len(file))])
    except UNREADABLE as error:
        raise ValueError(
            f"{path} is damaged, or no policy of this run. Delete it; "
            "python -m planet_tf.distill makes another one."
        ) from error
