"""Rewards of the tasks of the paper, for many simulator steps at once.

dm_control computes a reward in Python from one state at a time, which takes
longer than the step itself. These are the same formulas for arrays, read from
`dm_control/suite/<domain>.py` and `.xml`, whose names are kept; the quantities
that are not part of MuJoCo's state follow from it by a line of geometry.

Imports dm_control only when a reward is asked for: it must not be loaded
before a graphics backend is chosen.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from planet_tf.control.tasks import TASKS, get_task


class Steps(NamedTuple):
    """The simulator after each of its steps; leading shapes are the same."""

    qpos: np.ndarray
    qvel: np.ndarray
    sensors: np.ndarray
    control: np.ndarray  # During the step.


Reward = Callable[[Any, Steps], np.ndarray]


def get_reward(task_name: str) -> Reward:
    """Finds the reward of a task, a function of arrays.

    Args:
        task_name: A key of TASKS, or the same task as "domain-task".

    Returns:
        Maps dm_control's physics (for what an episode draws at random) and
        Steps to rewards, float64 [...].

    Raises:
        ValueError: It is none of these tasks; in one line.
    """
    functions = {get_task(name): reward for name, reward in _REWARDS.items()}
    try:
        return functions[get_task(task_name)]
    except (KeyError, ValueError):
        raise ValueError(
            f"There is no reward for arrays of {task_name!r}. Choose from "
            f"{', '.join(TASKS)}."
        ) from None


def _cartpole(physics: Any, steps: Steps) -> np.ndarray:
    from dm_control.utils.rewards import tolerance

    upright = (np.cos(steps.qpos[..., 1]) + 1) / 2
    centered = (1 + tolerance(steps.qpos[..., 0], margin=2)) / 2
    small_control = tolerance(
        steps.control[..., 0],
        margin=1,
        value_at_margin=0,
        sigmoid="quadratic",
    )
    small_control = (4 + small_control) / 5
    small_velocity = (1 + tolerance(steps.qvel[..., 1], margin=5)) / 2
    return upright * small_control * small_velocity * centered


def _cheetah(physics: Any, steps: Steps) -> np.ndarray:
    from dm_control.utils.rewards import tolerance

    return tolerance(
        steps.sensors[..., 0],  # Horizontal speed of the center of mass.
        bounds=(10, np.inf),
        margin=10,
        value_at_margin=0,
        sigmoid="linear",
    )


def _cup(physics: Any, steps: Steps) -> np.ndarray:
    cup_x, cup_z, ball_x, ball_z = np.moveaxis(steps.qpos, -1, 0)
    # The target is at rest 0.55 above the ground and the ball 0.2; half the
    # target's width is 0.05 and the ball's radius 0.025.
    right, up = cup_x - ball_x, cup_z + 0.55 - (ball_z + 0.2)
    return (np.maximum(np.abs(right), np.abs(up)) < 0.05 - 0.025).astype(float)


def _finger(physics: Any, steps: Steps) -> np.ndarray:
    return (steps.qvel[..., 2] <= -15.0).astype(float)


def _reacher(physics: Any, steps: Steps) -> np.ndarray:
    from dm_control.utils.rewards import tolerance

    shoulder, wrist = steps.qpos[..., 0], steps.qpos[..., 1]
    arm = np.stack([np.cos(shoulder), np.sin(shoulder)], -1)
    hand = np.stack([np.cos(shoulder + wrist), np.sin(shoulder + wrist)], -1)
    model = physics.named.model
    distance = np.linalg.norm(
        0.12 * (arm + hand) - model.geom_pos["target", :2], axis=-1
    )
    radii = model.geom_size[["target", "finger"], 0].sum()
    return tolerance(distance, (0, radii))


def _walker(physics: Any, steps: Steps) -> np.ndarray:
    from dm_control.utils.rewards import tolerance

    height = 1.3 + steps.qpos[..., 0]
    standing = tolerance(height, bounds=(1.2, np.inf), margin=1.2 / 2)
    upright = (1 + np.cos(steps.qpos[..., 2])) / 2
    move_reward = tolerance(
        steps.sensors[..., 0],  # Horizontal speed of the center of mass.
        bounds=(1, np.inf),
        margin=1 / 2,
        value_at_margin=0.5,
        sigmoid="linear",
    )
    return (3 * standing + upright) / 4 * (5 * move_reward + 1) / 6


_REWARDS = {
    "cartpole_balance": _cartpole,
    "cartpole_swingup": _cartpole,
    "cheetah_run": _cheetah,
    "cup_catch": _cup,
    "finger_spin": _finger,
    "reacher_easy": _reacher,
    "walker_walk": _walker,
}
