"""What is put around a world (original `control/wrappers.py`).

dm_control's and Gymnasium's worlds repeat actions themselves, to render one
frame a decision.
"""

import numpy as np

from planet_tf.control.environments import Environment, Observation, Spec


class ActionRepeat:
    """Repeats each action; sums the rewards, keeps the last observation.

    Args:
        environment: Owned by this object.
        repeat: Steps of `environment` for each decision. An episode of N steps
            has N // repeat decisions.

    Raises:
        ValueError: `repeat` is not in [1, N].
    """

    def __init__(self, environment: Environment, repeat: int):
        spec = environment.spec
        if not 1 <= repeat <= spec.episode_length:
            raise ValueError(
                f"action_repeat must be in [1, {spec.episode_length}], "
                f"not {repeat}."
            )
        self.spec = spec._replace(episode_length=spec.episode_length // repeat)
        self._environment = environment
        self._repeat = repeat
        self._decisions = 0

    def reset(self, seed: int) -> Observation:
        """Starts an episode."""
        self._decisions = 0
        return self._environment.reset(seed)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Repeats one action until the decision or the episode is over."""
        if self._decisions == self.spec.episode_length:
            raise RuntimeError("The episode is over; call reset first.")
        self._decisions += 1
        total = 0.0
        for _ in range(self._repeat):
            observation, reward, done = self._environment.step(action)
            total += float(reward)
            if done:
                break
        return (
            observation,
            total,
            done or self._decisions == self.spec.episode_length,
        )

    def close(self) -> None:
        """Closes the world."""
        self._environment.close()


class AbsorbingEnd:
    """Makes the end of an episode something that a model can learn.

    A world that ends before its time stays at its last observation, with
    reward 0, for half a chunk of training data, and until there is a whole
    one: short episodes can be trained on, and the model and a value learn
    that nothing can be gained any more. A world that goes on is cut off at
    its longest episode, after which nothing is known to be over.

    Deviates from planet: it prolongs episodes that are too short for a chunk
    alone, and does so by moving a simulator that says it has ended, which
    Gymnasium calls undefined; effect on return: unmeasured, none on
    dm_control's tasks, which end with their time.

    Args:
        environment: Owned by this object.
        decisions: Of a chunk. No episode becomes longer than
            `spec.episode_length`.
    """

    def __init__(self, environment: Environment, decisions: int):
        self._environment = environment
        self._chunk = decisions
        self._decisions = self._stop = 0
        self._last = None  # What stays, once the world has ended.

    @property
    def spec(self) -> Spec:
        """The world's."""
        return self._environment.spec

    def reset(self, seed: int) -> Observation:
        """Starts an episode."""
        self._decisions = 0
        self._stop = self.spec.episode_length
        self._last = None
        return self._environment.reset(seed)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Moves the world, or waits where it has ended."""
        if self._decisions == self._stop:
            raise RuntimeError("The episode is over; call reset first.")
        self._decisions += 1
        if self._last is not None:
            return self._last, 0.0, self._decisions == self._stop
        observation, reward, ended = self._environment.step(action)
        if ended:
            self._last = observation
            least = max(self._chunk, self._decisions + self._chunk // 2)
            self._stop = min(least, self._stop)
        return observation, reward, self._decisions == self._stop

    def close(self) -> None:
        """Closes the world."""
        self._environment.close()
