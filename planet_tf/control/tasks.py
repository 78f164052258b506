"""The tasks, by name; imports neither simulator nor TensorFlow.

The tasks of the original with its action repeats (`scripts/tasks.py`), every
other task of the dm_control suite as "domain-task", Gymnasium's environments
as "gym:NAME", and a user's own worlds as "module:CONSTRUCTOR".
"""

import difflib
import re
from typing import NamedTuple

EPISODE_FRAMES = 1000
"""Simulator steps in an episode, unless a world says otherwise."""

IMAGE_SHAPE = (64, 64, 3)
"""What the agent sees; the encoder and the decoder are made for it."""


class Task(NamedTuple):
    """A task and how the agent sees and drives it."""

    domain: str  # dm_control's, a key of SUITE; or "gym", or "module"
    name: str
    # Simulator steps for each decision; the rewards of all are summed.
    action_repeat: int = 2
    camera: int = 0


TASKS = {
    "cartpole_balance": Task("cartpole", "balance", 8),
    "cartpole_swingup": Task("cartpole", "swingup", 8),
    "cheetah_run": Task("cheetah", "run", 4),
    "cup_catch": Task("ball_in_cup", "catch", 4),
    "finger_spin": Task("finger", "spin", 2),
    "reacher_easy": Task("reacher", "easy", 4),
    "walker_walk": Task("walker", "walk", 2),
}

# Not in TASKS, because these need no dm_control. The names are the original's.
# Deviates from planet: versions that Gymnasium has; -v3 and -v0 are gone.
OTHERS = {
    "dummy": Task("module", "planet_tf.control.dummy:Dummy", 4),
    "gym_cheetah": Task("gym", "HalfCheetah-v5", 1),
    "gym_racecar": Task("gym", "CarRacing-v3", 1),
}

# A copy of `dm_control.suite.ALL_TASKS`, because importing the suite takes
# seconds and loads a graphics library. Without lqr: its actions are unbounded,
# and its spring constants are drawn when it is loaded, not at reset.
SUITE = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": (
        "balance",
        "balance_sparse",
        "swingup",
        "swingup_sparse",
        "two_poles",
        "three_poles",
    ),
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run", "fetch"),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run", "run_pure_state"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "manipulator": ("bring_ball", "bring_peg", "insert_ball", "insert_peg"),
    "pendulum": ("swingup",),
    "point_mass": ("easy", "hard"),
    "quadruped": ("walk", "run", "escape", "fetch"),
    "reacher": ("easy", "hard"),
    "stacker": ("stack_2", "stack_4"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}

# Fixed cameras of dm_control's worlds that have others than two; a copy, too.
_CAMERAS = {
    "dog-fetch": 4,
    "fish": 5,
    "humanoid": 3,
    "humanoid_CMU": 3,
    "quadruped": 4,
    "swimmer": 3,
}


def cameras(task: Task) -> int:
    """How many fixed cameras a dm_control task has, numbered from 0."""
    found = _CAMERAS.get(f"{task.domain}-{task.name}")
    return found or _CAMERAS.get(task.domain, 2)


def get_task(name: str) -> Task:
    """Finds a task by its name.

    Args:
        name: A key of TASKS or OTHERS, or one of these:
            "domain-task" as dm_control spells them, such as "hopper-hop" or
            "ball_in_cup-catch". Those that are not in TASKS get an action
            repeat of 2, the smallest the original uses there.
            "gym:NAME" for what `gymnasium.make(NAME)` makes.
            "module:CONSTRUCTOR" for a class or function of a module that can
            be imported, which takes no arguments and returns an
            `environments.Environment`.

    Raises:
        ValueError: There is no such task; lists those that exist. Whether an
            environment or module exists is found out by making the world.
    """
    domain, colon, rest = name.partition(":")
    if colon:
        if not domain or not rest:
            raise ValueError(
                f"There is no task {name!r}: write gym:NAME or "
                "module:CONSTRUCTOR."
            )
        if domain == "gym":
            return Task("gym", rest, 1)
        return Task("module", name, 1)
    known = {
        f"{domain}-{task}": Task(domain, task)
        for domain, tasks in SUITE.items()
        for task in tasks
    }
    # "walker-walk" and "walker_walk" are one task with one action repeat.
    known |= {f"{task.domain}-{task.name}": task for task in TASKS.values()}
    known |= TASKS | OTHERS
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    others = sorted(set(known) - set(TASKS) - set(OTHERS))
    raise ValueError(
        f"There is no task {name!r}.{hint}\n"
        f"Tasks of the paper: {', '.join(TASKS)}.\n"
        f"Other dm_control tasks: {', '.join(others)}.\n"
        f"Other worlds: {', '.join(OTHERS)}, gym:NAME, module:CONSTRUCTOR."
    )


def canonical(name: str) -> str:
    """One name for a task, such as cup_catch for ball_in_cup-catch."""
    names = {f"{task.domain}_{task.name}": key for key, task in TASKS.items()}
    return names.get(name.replace("-", "_"), name)


def label(name: str) -> str:
    """The task's name as it appears in metrics and names of files.

    Colons and slashes would end up in paths, where rsync, Windows and others
    read them as something else.
    """
    return re.sub(r"[^\w.-]", "_", name)
