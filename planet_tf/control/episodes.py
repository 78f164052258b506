"""An episode; row t holds what happened at time t.

    t       0   1   2   ...  N
    action  0   a1  a2       aN   a_t was chosen after seeing image t-1
    image   x0  x1  x2       xN   and led to image t
    reward  0   r1  r2       rN   and to reward t

N decisions make N+1 rows. This is the one place that fixes these indices; the
model reads row t as "in the previous state, action t led here" and nothing is
shifted anywhere else (original `CollectDataset`).
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from planet_tf.control.workers import Worker
from planet_tf.tools.progress import Timers
from planet_tf.tools.seeding import fold_int

# image uint8 [N+1, 64, 64, 3], action float32 [N+1, A], reward float32 [N+1]
# and the world's other observations, float32 [N+1, ...]. Among them may be
# `terminated` [N+1]: 1 where the world has ended for good, and nothing can be
# gained any more; where it is 0 or missing, the episode was cut off.
Episode = dict[str, np.ndarray]


class Policy(Protocol):
    """Chooses actions for B worlds at once."""

    def reset(self, batch: int, seed: int) -> None:
        """Forgets everything, for `batch` new episodes; seeds all noise."""

    def act(self, images: np.ndarray) -> np.ndarray:
        """Maps the newest images, uint8 [B, 64, 64, 3], to actions.

        Returns:
            float32 [B, A] in [-1, 1].
        """


class RandomActions:
    """Uniform random actions for the seed episodes.

    With a correlation, each action dimension is a Gaussian AR(1) process seen
    through the normal distribution function: neighbours in time are alike, but
    each action alone is still exactly uniform.

    Args:
        action_dim: A.
        correlation: Of the underlying Gaussians at neighbouring decisions, in
            [0, 1). 0 draws every action afresh, as the original does.
    """

    def __init__(self, action_dim: int, correlation: float = 0.0):
        if not 0 <= correlation < 1:
            raise ValueError(
                f"correlation must be in [0, 1), not {correlation}"
            )
        self._action_dim = action_dim
        self._correlation = correlation

    def reset(self, batch: int, seed: int) -> None:
        """Starts `batch` independent sequences."""
        self._rng = np.random.default_rng(seed)
        # Drawn from the stationary distribution, so that the first actions
        # are uniform too.
        self._state = self._rng.standard_normal([batch, self._action_dim])

    def act(self, images: np.ndarray) -> np.ndarray:
        """Returns the next actions, float32 [B, A]; looks at nothing."""
        actions = _erf(self._state / math.sqrt(2)).astype(np.float32)
        noise = self._rng.standard_normal(self._state.shape)
        keep = self._correlation
        self._state = keep * self._state + math.sqrt(1 - keep**2) * noise
        return actions


def collect(
    workers: Sequence[Worker],
    policy: Policy,
    seeds: Sequence[int],
    progress: Callable[[int], None] | None = None,
    timers: Timers | None = None,
) -> list[Episode]:
    """Plays one episode in every worker, side by side.

    Episodes may differ in length. A worker that is done is left alone until
    all are; the policy keeps seeing its last image, and the action it chooses
    for it is ignored. One that goes on for longer than its spec says is cut
    off; one that ends earlier has `terminated`, unless an observation of this
    name says otherwise.

    A policy made for several tasks may have more action dimensions than a
    world: the world gets the first ones, the episode keeps all (original
    `PadActions`).

    Args:
        workers: B worlds.
        policy: Chooses for all of them at once.
        seeds: One for each world's reset; the first also seeds the policy.
        progress: Called with 1 after each round of decisions, like the
            `update` of a tqdm bar.
        timers: `timers("plan")` and `timers("simulate")` are entered around
            the policy and the worlds.

    Returns:
        The episodes, in the order of `workers`.

    Raises:
        ValueError: The policy's actions have the wrong shape, are not finite
            or leave [-1, 1].
    """
    timers = timers or Timers()
    with timers("simulate"):
        promises = [w.reset(s) for w, s in zip(workers, seeds, strict=True)]
        observations = [promise() for promise in promises]
    rows = [[{**obs, "reward": 0.0}] for obs in observations]
    executed = [[] for _ in workers]
    images = np.stack([obs["image"] for obs in observations])
    sizes = [worker.spec.action_dim for worker in workers]
    running = list(range(len(workers)))
    # Not the seed itself: policy and world would share a random stream.
    policy.reset(batch=len(workers), seed=fold_int(seeds[0], "policy", 0))
    while running:
        with timers("plan"):
            actions = _checked(policy.act(images), len(workers), max(sizes))
        with timers("simulate"):
            # All are on their way before the first is awaited.
            promises = {
                i: workers[i].step(actions[i, : sizes[i]]) for i in running
            }
            results = {i: promise() for i, promise in promises.items()}
        for i, (obs, reward, done) in results.items():
            rows[i].append({**obs, "reward": reward})
            executed[i].append(actions[i])
            images[i] = obs["image"]
            if done or len(executed[i]) == workers[i].spec.episode_length:
                # Deviates from planet: recording ends here, because the
                # original resets a world that ends early and plays into a
                # second episode that it never saves.
                running.remove(i)
        if progress:
            progress(1)
    return [
        _episode(rows[i], executed[i], worker.spec.episode_length)
        for i, worker in enumerate(workers)
    ]


def episode_return(episode: Episode) -> float:
    """The undiscounted sum of rewards."""
    return float(np.sum(episode["reward"], dtype=np.float64))


def terminated(episode: Episode) -> bool:
    """Whether the world has ended for good, and was not cut off."""
    return "terminated" in episode and bool(episode["terminated"][-1])


def _checked(actions: np.ndarray, batch: int, least: int) -> np.ndarray:
    """A float32 copy, so that a policy may reuse its own array."""
    actions = np.array(actions, np.float32)
    shape = actions.shape
    if len(shape) != 2 or shape[0] != batch or shape[1] < least:
        raise ValueError(
            f"the policy returned actions of shape {shape} for {batch} worlds "
            f"with up to {least} action dimensions"
        )
    # Written so that NaN fails too.
    if not np.all(np.abs(actions) <= 1):
        raise ValueError(
            f"the policy returned actions outside [-1, 1]: {actions.tolist()}"
        )
    return actions


def _episode(
    rows: list[dict], actions: list[np.ndarray], longest: int
) -> Episode:
    """Sets the rows beside the actions that led to them."""
    episode = {
        "image": np.stack([row["image"] for row in rows]),
        "action": np.stack([np.zeros_like(actions[0]), *actions]),
    }
    for key in rows[0]:
        if key != "image":
            values = np.stack([row[key] for row in rows])
            episode[key] = values.astype(np.float32)
    if len(actions) < longest and "terminated" not in episode:
        episode["terminated"] = np.zeros(len(rows), np.float32)
        episode["terminated"][-1] = 1
    return episode


_erf = np.vectorize(math.erf, otypes=[np.float64])
