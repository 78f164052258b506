"""Makes the world of a task, whichever kind it is."""

import importlib
from collections.abc import Iterable
from typing import Literal

from planet_tf.control import rendering
from planet_tf.control.check_env import spec_problem
from planet_tf.control.dm_control_adapter import DeepMindControl
from planet_tf.control.environments import Environment
from planet_tf.control.gym_adapter import GymEnvironment
from planet_tf.control.tasks import SUITE, get_task
from planet_tf.control.wrappers import ActionRepeat


def make_environment(
    task_name: str,
    render_quality: Literal["original", "fast"] = "original",
    action_repeat: int | None = None,
    camera: int | None = None,
) -> Environment:
    """Makes the world of a task; with `functools.partial`, for a worker.

    Args:
        task_name: As for `tasks.get_task`.
        render_quality: This and the rest as for `DeepMindControl`. Worlds of
            a user's own module are seen as they are.
        action_repeat: Replaces the task's.
        camera: Replaces the task's; dm_control only.
    """
    task = get_task(task_name)
    repeat = task.action_repeat if action_repeat is None else action_repeat
    if task.domain == "gym":
        return GymEnvironment(task.name, render_quality, action_repeat=repeat)
    if task.domain == "module":
        module, _, constructor = task.name.partition(":")
        world = getattr(importlib.import_module(module), constructor)()
        if problem := spec_problem(world):
            raise ValueError(problem)
        return world if repeat == 1 else ActionRepeat(world, repeat)
    return DeepMindControl(
        task, render_quality, action_repeat=repeat, camera=camera
    )


def choose_backend_for(tasks: Iterable[str]) -> None:
    """Chooses how this process's workers render dm_control, if any does.

    Other worlds need no graphics, or choose for themselves.

    Raises:
        RuntimeError: No image can be rendered.
    """
    if any(get_task(task).domain in SUITE for task in tasks):
        rendering.choose_backend()
