"""dm_control tasks that show their physics; free of TensorFlow.

For the process of a world: TensorFlow and Mesa's renderer crash together.
"""

from typing import Any

import numpy as np

from planet_tf.control.dm_control_adapter import DeepMindControl
from planet_tf.control.environments import Observation
from planet_tf.control.tasks import IMAGE_SHAPE, get_task

_SEEDS = 1000  # Trying them all takes 0.3 s, the cheetah 4 s.


class Probe(DeepMindControl):
    """A task whose observations hold `physics_state` too.

    Every episode begins in a given state, because the golden arrays do not say
    which seed led to it. A seed that leads to it is looked for first: the
    simulator holds more than its state (the cheetah comes out of 200 steps with
    forces that its solver starts from), and what that changes in the 14th digit
    has grown to the third when an episode ends.

    Args:
        task: By name.
        start: The physics state.
        target: Where a reacher's target is, seen from its finger. It is drawn
            by the seed, and no part of the state.
        length: Ends episodes after fewer decisions.

    Attributes:
        draw: Whether images are drawn, or black.
    """

    def __init__(
        self,
        task: str,
        start: np.ndarray,
        target: np.ndarray | None = None,
        length: int | None = None,
    ):
        super().__init__(get_task(task))
        if length:
            self.spec = self.spec._replace(episode_length=length)
        self._start = start
        self._target = target
        self.draw = True

    def reset(self, seed: int) -> Observation:
        """Starts the episode; `seed` is not used."""
        draw, self.draw = self.draw, False
        physics = self._env.physics
        for other in range(_SEEDS):
            super().reset(other)
            if np.array_equal(physics.get_state(), self._start):
                self.draw = draw
                return self._observe(self._env.task.get_observation(physics))
        self.draw = draw
        with physics.reset_context():
            physics.set_state(self._start)
            if self._target is not None:
                physics.forward()
                finger = physics.named.data.geom_xpos["finger", :2]
                place = finger + self._target
                physics.named.model.geom_pos["target", :2] = place
        return self._observe(self._env.task.get_observation(physics))

    def render(self) -> np.ndarray:
        """The image, uint8 [64, 64, 3]."""
        if self.draw:
            return super().render()
        return np.zeros(IMAGE_SHAPE, np.uint8)

    def _observe(self, arrays: Any) -> Observation:
        observation = super()._observe(arrays)
        return {**observation, "physics_state": self._env.physics.get_state()}


def formula_action(t: int, size: int) -> np.ndarray:
    """The original's test action [A] for decision t, counted from 0."""
    k = np.arange(size)
    return np.float32(0.9 * np.sin(0.7 * t + 1.3 * k + 0.2))


def play(
    task: str,
    actions: np.ndarray,
    start: np.ndarray,
    target: np.ndarray | None,
    whole: bool,
) -> dict[str, Any]:
    """Plays an episode in this process.

    Args:
        task: By name.
        actions: The first T actions [T, A].
        start: See `Probe`, as for `target`.
        target: Of a reacher.
        whole: Go on to the end with `formula_action`.

    Returns:
        `reward` and `done` [T], every observation [T + 1, ...] with images of
        the first and last row only; and `length` and `return` of all that was
        played.
    """
    world = Probe(task, start, target)
    observations, rewards, done = [world.reset(0)], [], []
    T, A = actions.shape
    while len(rewards) < T or (whole and not done[-1]):
        t = len(rewards)
        world.draw = t == T - 1
        action = actions[t] if t < T else formula_action(t, A)
        result = world.step(action)
        for rows, value in zip(
            (observations, rewards, done), result, strict=True
        ):
            rows.append(value)
    world.close()
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
