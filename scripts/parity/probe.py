"""dm_control tasks that show their physics; free of TensorFlow.

For the process of a world: TensorFlow and Mesa's renderer crash together.
"""

from typing import Any

import numpy as np

from planet_tf.control.environments import DeepMindControl, Observation
from planet_tf.control.tasks import get_task

_SEEDS = 100  # how many are tried


class Probe(DeepMindControl):
    """A task whose observations hold `physics_state` too.

    Args:
        task: By name.
        start: The physics state that the episode of the right seed begins
            with: the golden arrays do not say which seed that is.
        length: Ends episodes after fewer decisions.

    Attributes:
        draw: Whether images are drawn, or black.
    """

    def __init__(self, task: str, start: np.ndarray, length: int | None = None):
        super().__init__(get_task(task))
        if length:
            self.spec = self.spec._replace(episode_length=length)
        self._start = start
        self.draw = True

    def reset(self, seed: int) -> Observation:
        """Starts the episode; looks for its seed from `seed` on."""
        self.draw = False
        for candidate in range(seed, seed + _SEEDS):
            state = super().reset(candidate)["physics_state"]
            if np.allclose(state, self._start, atol=1e-6):
                break
        else:
            candidate = seed
        self.draw = True
        return super().reset(candidate)

    def _observe(self, arrays: Any) -> Observation:
        physics = self._env.physics
        if self.draw:
            observation = super()._observe(arrays)
        else:
            physics.render = lambda *_, **__: np.zeros([64, 64, 3], np.uint8)
            observation = super()._observe(arrays)
            del physics.render
        return {**observation, "physics_state": physics.get_state()}


def play(task: str, actions: np.ndarray, start: np.ndarray) -> dict[str, Any]:
    """Plays an episode in this process.

    Args:
        task: By name.
        actions: The first T actions [T, A]. Their formula continues them.
        start: See `Probe`.

    Returns:
        `reward` and `done` [T], every observation [T + 1, ...] with images of
        the first and last row only; and of the whole episode `length` and
        `return`.
    """
    world = Probe(task, start)
    observations, rewards, done = [world.reset(0)], [], []
    while not (done and done[-1]):
        t = len(rewards)
        if t < len(actions):
            action = actions[t]
        else:
            k = np.arange(actions.shape[-1])
            action = 0.9 * np.sin(0.7 * t + 1.3 * k + 0.2)
        world.draw = t == len(actions) - 1
        result = world.step(np.float32(action))
        for rows, value in zip(
            (observations, rewards, done), result, strict=True
        ):
            rows.append(value)
    world.close()
    T = len(actions)
    return {
        **{
            name: np.stack([x[name] for x in observations[: T + 1]])
            for name in observations[0]
        },
        "reward": np.array(rewards[:T]),
        "done": np.array(done[:T]),
        "length": len(rewards),
        "return": sum(rewards),
    }
