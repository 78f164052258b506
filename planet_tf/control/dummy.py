"""A world that needs no simulator and no graphics, `--task=dummy`.

For tests, for a first look at whether an installation trains, and as an
example of a world of one's own.
"""

import numpy as np

from planet_tf.control.environments import (
    Observation,
    Spec,
    checked_action,
)
from planet_tf.control.tasks import EPISODE_FRAMES, IMAGE_SHAPE

_SIDE = 10  # pixels, of both squares
_SPEED = 0.02  # of half the picture's width, at most, in a step


class Dummy:
    """The action moves a red square; a blue one shows where reward is.

    The reward is 1 where the squares cover each other and falls to 0 at a
    distance of the picture's width. So everything is in the image, moves only
    as the action says, and can be learned.

    Deviates from planet: noise there, from which nothing can be learned, as
    float images that crash (its `DummyEnv`).

    Attributes:
        spec: Two action dimensions (right, down), 1000 steps an episode, and
            the squares' places, [-1, 1], beside the image.
    """

    spec = Spec(
        action_dim=2,
        episode_length=EPISODE_FRAMES,
        observations={"image": IMAGE_SHAPE, "position": (2,), "goal": (2,)},
    )

    def __init__(self):
        self._steps_left = 0

    def reset(self, seed: int) -> Observation:
        """Puts both squares anywhere."""
        rng = np.random.default_rng(seed)
        self._position, self._goal = rng.uniform(-1, 1, [2, 2])
        self._steps_left = self.spec.episode_length
        return self._observe()

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Moves the red square by `action`, [2] in [-1, 1].

        Raises:
            RuntimeError: The episode is over, or has not begun.
            ValueError: The action has the wrong shape or leaves [-1, 1].
        """
        if not self._steps_left:
            raise RuntimeError("The episode is over; call reset first.")
        move = _SPEED * checked_action(action, self.spec.action_dim)
        self._position = np.clip(self._position + move, -1, 1)
        self._steps_left -= 1
        distance = np.linalg.norm(self._position - self._goal)
        reward = float(max(0, 1 - distance / 2))
        return self._observe(), reward, not self._steps_left

    def close(self) -> None:
        """Does nothing; there is nothing to release."""

    def _observe(self) -> Observation:
        image = np.full(IMAGE_SHAPE, 40, np.uint8)
        _draw(image, self._goal, (60, 60, 255))
        _draw(image, self._position, (255, 60, 60))
        return {
            "image": image,
            "position": self._position.astype(np.float32),
            "goal": self._goal.astype(np.float32),
        }


def _draw(image: np.ndarray, place: np.ndarray, colour: tuple) -> None:
    left, top = np.round((place + 1) / 2 * (IMAGE_SHAPE[0] - _SIDE)).astype(int)
    image[top : top + _SIDE, left : left + _SIDE] = colour
