"""The worlds of a run, each in a process of its own."""

import contextlib
import functools
import re
from collections.abc import Callable

from planet_tf.config import Config
from planet_tf.control.check_env import glance
from planet_tf.control.environments import Environment
from planet_tf.control.make import make_environment
from planet_tf.control.tasks import SUITE, get_task, label
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.validation import check_length


def start(
    config: Config, stack: contextlib.ExitStack
) -> dict[str, list[Worker]]:
    """By task, as many worlds as are ever played side by side."""
    count = max(
        collect.batch_size
        for split in ("train", "test")
        for collect in config.collectors(split).values()
    )
    return {
        label(task): [
            stack.enter_context(worker(config, task)) for _ in range(count)
        ]
        for task in config.tasks
    }


def worker(config: Config, task: str) -> Worker:
    """The world of a task in its own process; to be closed."""
    return Worker(_constructor(config, task))


def _constructor(config: Config, task: str) -> Callable[[], Environment]:
    return functools.partial(
        make_environment,
        task,
        render_quality=config.render_quality,
        action_repeat=config.action_repeat or None,
        camera=config.camera_id,
    )


def _tried(constructor: Callable[[], Environment]) -> Environment:
    world = constructor()
    if problem := glance(world):
        raise ValueError(problem)
    return world


def try_unknown(config: Config) -> None:
    """Makes the worlds of which nothing is known beforehand, and decides once.

    Raises:
        ValueError: One cannot be made, or cannot be trained on; one line.
    """
    for task in config.tasks:
        if get_task(task).domain in SUITE:
            continue
        try:
            tried = functools.partial(_tried, _constructor(config, task))
            with Worker(tried) as world:
                spec = world.spec
        except WorkerError as error:
            # The last exception of the traceback, to the end of its message.
            *_, reason = re.split(r"\n(?=[\w.]*Error: )", str(error).strip())
            if get_task(task).domain == "module":
                reason += f" (python -m scripts.check_env {task} says more.)"
            raise ValueError(f"--task={task}: {reason}") from error
        check_length(config, task, spec.episode_length)
