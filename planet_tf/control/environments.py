"""What a world is, and checks that worlds share.

Create and use worlds in one worker process. TensorFlow and Mesa's renderer
crash when they share a process, so no module of a world may import TensorFlow,
and simulators are imported only when a world is made.
"""

from typing import NamedTuple, Protocol

import numpy as np

Observation = dict[str, np.ndarray]


class Spec(NamedTuple):
    """What an agent has to know about a world."""

    action_dim: int
    episode_length: int  # decisions, at most
    observations: dict[str, tuple[int, ...]]  # shapes, "image" among them


class Environment(Protocol):
    """A world with actions in [-1, 1]; what users' own worlds have to be.

    `python -m scripts.check_env module:CONSTRUCTOR` says what is wrong with
    one, and `control/dummy.py` is an example.

    Attributes:
        spec: Sizes; does not change.
    """

    spec: Spec

    def reset(self, seed: int) -> Observation:
        """Starts an episode that depends on nothing but seed and actions.

        Args:
            seed: In [0, 2**32).

        Returns:
            `image`, uint8 [64, 64, 3], and any other arrays as float32; their
            shapes are `spec.observations`. One of them may be `terminated`,
            see `episodes.collect`.
        """

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Carries out one decision, float32 [A].

        Returns:
            The observation after it, the reward, and whether it was the last.
        """

    def close(self) -> None:
        """Releases the graphics context."""


def checked_action(action: np.ndarray, action_dim: int) -> np.ndarray:
    """The action as float64 [A] in [-1, 1].

    Raises:
        ValueError: It has another shape, is not finite or leaves [-1, 1].
    """
    action = np.asarray(action, np.float64)
    if action.shape != (action_dim,):
        raise ValueError(
            f"The action must have shape [{action_dim}], "
            f"not {list(action.shape)}."
        )
    # Written so that NaN fails too; rounding is forgiven.
    if not np.all(np.abs(action) <= 1 + 1e-6):
        raise ValueError(f"Actions must be in [-1, 1], not {action}.")
    return np.clip(action, -1, 1)


def finite_float32(name: str, array: np.ndarray) -> np.ndarray:
    """An observation beside the image, as episodes hold it.

    Raises:
        FloatingPointError: It is not finite, and would spoil the replay.
    """
    result = np.asarray(array, np.float32)
    if not np.all(np.isfinite(result)):
        raise FloatingPointError(f"{name} is {array}.")
    return result
