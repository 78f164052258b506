"""What is put around a user's own world (original `control/wrappers.py`).

dm_control's and Gymnasium's worlds repeat actions themselves, to render one
frame a decision.
"""

import numpy as np

from planet_tf.control.environments import Environment, Observation


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
