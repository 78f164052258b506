"""What a run's folder says about its returns, also while it is still going.

A run is a folder with config.yaml and metrics.jsonl, as training writes them,
or metrics.csv with the same names as columns. Videos and the JSON of
`planet_tf.evaluate` are used where they are there.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import sys
from typing import Any

import numpy as np
import yaml

from planet_tf import config as configs
from planet_tf.control.tasks import canonical, label
from scripts.comparison import cells, published

LAST_TESTS = 5
"""Test episodes whose mean is a run's return, unless it was evaluated since."""

# They tell the runs of one agent apart, say how long they are, or change
# nothing that is learned.
_NOT_SETTINGS = {"tasks", "seed", "max_steps", "replay_storage"}

# Names in the metrics.
_RETURN, _TRAINING, _TIME = "test/return_", "train/return_", "time/total"
_STEPS = "env_steps_"
_LOSSES = ("test/image", "test/reward", "test/kl")

RECENT = 10
"""Training episodes whose mean stands beside a test episode."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What one run reached on one of its tasks."""

    folder: str
    agent: str  # Preset, and what was changed: the same for all seeds.
    task: str
    tasks: tuple[str, ...]  # All that the run learns.
    seed: int
    curve: tuple[dict[str, float], ...]  # A row for each test, see `_curve`.
    updates: int  # Gradient steps so far.
    trained_steps: float  # Environment steps behind `final`; NaN: unknown.
    trained_hours: float  # Until now.
    final: float  # Mean of episodes; NaN before the first test.
    episodes: int  # Behind `final`.
    source: str  # Where `final` comes from.
    log_start: str  # Its first point, with its time: copies share it.
    commits: str  # Of the code of its starts, each once; "" if unknown.
    machines: str  # Of its starts, each once; "" if unknown.

    @property
    def env_steps(self) -> np.ndarray:
        """Of this task, at each test: [P], ascending; see `_steps`."""
        return np.array([row["env_steps"] for row in self.curve], float)

    @property
    def hours(self) -> np.ndarray:
        """Of training, without pauses: [P]."""
        return np.array([row["hours"] for row in self.curve], float)

    @property
    def returns(self) -> np.ndarray:
        """Of one noise-free test episode each: [P]."""
        return np.array([row["test_return"] for row in self.curve], float)

    @property
    def label(self) -> str:
        """The agent, and its tasks if it learns several."""
        return self.agent + self.of_tasks

    @property
    def of_tasks(self) -> str:
        """What tells agents of several tasks from those of one."""
        if len(self.tasks) == 1:
            return ""
        if set(self.tasks) == {*published.TASKS}:
            return ", all tasks"
        return f", {' + '.join(sorted(self.tasks))}"


def read(folder: pathlib.Path) -> tuple[list[Result], list[str]]:
    """Reads a run.

    Args:
        folder: With config.yaml; metrics.jsonl may be missing or grow.

    Returns:
        One result for each task, and one line for each problem.

    Raises:
        ValueError: It holds no run, or one that cannot be read.
    """
    values = _read_config(folder / "config.yaml")
    points, problems = _read_points(folder)
    evaluations, damaged = _read_evaluations(folder, values)
    starts = _read_starts(folder / "machine.jsonl")
    return [
        _result(folder, values, points, evaluations, starts, task)
        for task in values["tasks"]
    ], problems + damaged


def videos(folder: pathlib.Path) -> list[pathlib.Path]:
    """The newest GIF of each name: beside the metrics, or in videos/.

    And those of predictions, and of the newest evaluation, where there are any.
    """
    found = sorted(folder.glob("*.gif"))
    if not found:
        # Names end in the number of updates, with leading zeros.
        numbered = sorted(folder.glob("videos/*.gif"))
        newest = {path.stem.rpartition("-")[0]: path for path in numbered}
        found = sorted(newest.values())
    found += sorted(folder.glob("predictions/*.gif"))
    evaluated = [
        path for path in folder.glob("evaluation/*") if path.name.isdigit()
    ]
    if evaluated:
        newest = max(evaluated, key=lambda path: int(path.name))
        found += sorted(newest.glob("*.gif"))
    return found


def agent_name(values: dict[str, Any]) -> str:
    """The preset that is closest, and the values that differ from it.

    Args:
        values: As config.yaml has them. Those that are missing have their
            default; those that this version does not know do not count.
    """
    presets = {k: configs.plain(v) for k, v in configs.PRESETS.items()}
    values = {**presets["default"], **values}

    def changes(preset: str) -> list[str]:
        return [
            f"{name}={_written(values[name])}"
            for name, value in presets[preset].items()
            if values[name] != value and name not in _NOT_SETTINGS
        ]

    preset = min(presets, key=lambda name: len(changes(name)))
    return ", ".join([preset, *changes(preset)])


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    """Reads config.yaml, also of older versions with other parameters."""
    if not path.is_file():
        raise ValueError(
            f"{path.parent} holds no run (there is no config.yaml). Give the "
            "--logdir of a run, or one of the folders in results/."
        )
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
        return {
            **values,
            "tasks": [str(task) for task in values["tasks"]],
            "seed": int(values["seed"]),
        }
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is not the config of a run: it must be YAML with at least "
            "`tasks` and `seed`, as training writes it."
        ) from error


def _read_points(folder: pathlib.Path) -> tuple[list[dict], list[str]]:
    """The points that a run logged, and one line for each problem."""
    table, path = folder / "metrics.csv", folder / "metrics.jsonl"
    if not path.exists():
        if not table.exists():
            return [], [f"{folder}: no points yet (no metrics.jsonl)"]
        return cells.read(table, ("updates", "env_steps")), []
    points, problems = [], []
    lines = path.read_text("utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            points.append(_point(line))
        except ValueError as error:
            # What follows the last line break is still being written.
            if number < len(lines):
                problems.append(f"{path}, line {number}: skipped, {error}")
    return points, problems


def _point(line: str) -> dict:
    """One line of metrics.jsonl.

    Raises:
        ValueError: It is damaged, or what is used here is not a number.
    """
    try:
        point = json.loads(line)
    except ValueError:
        point = None
    if not isinstance(point, dict):
        raise ValueError("it is not a JSON object")
    measured = [
        name
        for name in point
        if name.startswith((_RETURN, _TRAINING)) or name in _LOSSES
    ]
    counted = [
        name
        for name in point
        if name in ("episodes", _TIME) or name.startswith(_STEPS)
    ]
    for name in ("updates", "env_steps", *counted, *measured):
        value = point.get(name)
        if value is None and name in measured:
            continue  # As training writes what is not finite.
        if not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}, not a number")
        if not abs(value) <= sys.float_info.max:
            raise ValueError(f"{name} is not finite")
    return point


def _read_starts(path: pathlib.Path) -> dict[str, str]:
    """The commits and machines of a run, as a `Result` has them.

    Older runs have no such file; a damaged line tells nothing.
    """
    commits, machines = [], []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in path.read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                start = json.loads(line)
                cores = "core" if start["cores"] == 1 else "cores"
                name = f"{start['processor']}, {start['cores']} {cores}"
                machine = ", ".join([name, *start["gpus"]])
                commit = str(start["commit"] or "unknown")
                machines.append(machine)
                commits.append(commit)
    return {
        "commits": ", ".join(dict.fromkeys(commits)),
        "machines": "; ".join(dict.fromkeys(machines)),
    }


def _read_evaluations(
    folder: pathlib.Path, values: dict
) -> tuple[list[dict], list[str]]:
    """What `planet_tf.evaluate` wrote.

    Those with another planner than the run's, or a policy instead, are left
    out.
    """
    evaluations, problems = [], []
    for path in [
        *folder.glob("evaluation.json"),
        *folder.glob("evaluation/*/evaluation.json"),
    ]:
        try:
            found = json.loads(path.read_text("utf-8"))
            for task in found["tasks"].values():
                float(task["return"]["mean"]), len(task["episodes"])
            int(found["checkpoint"]), int(found.get("seed", 0))
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            problems.append(f"{path}: skipped, it is not an evaluation")
            continue
        # With another planner than its own, the run is another agent.
        if not (found.get("planner_overrides") or found.get("policy")):
            evaluations.append(found)
    return evaluations, problems


def _result(
    folder: pathlib.Path,
    values: dict,
    points: list[dict],
    evaluations: list[dict],
    starts: dict[str, str],
    task: str,
) -> Result:
    name = label(task)  # As metrics and evaluations have it.
    curve = _curve(points, name)
    tests = [row["test_return"] for row in curve[-LAST_TESTS:]]
    last = points[-1] if points else {}
    final, source, steps = math.nan, "no test yet", 0
    episodes = len(tests)
    if tests:
        final = sum(tests) / episodes
        source = f"tests up to update {curve[-1]['updates']:,.0f}"
        steps = curve[-1]["env_steps"]
    of_task = [it for it in evaluations if name in it["tasks"]]
    # The newest; of one checkpoint, that of most episodes, then of `--seed=0`.
    newest = max(
        of_task,
        key=lambda it: (
            it["checkpoint"],
            len(it["tasks"][name]["episodes"]),
            -it.get("seed", 0),
        ),
        default=None,
    )
    # Not where the agent has learned more since.
    if newest and not (tests and newest["checkpoint"] < curve[-1]["updates"]):
        found, at = newest["tasks"][name], newest["checkpoint"]
        final, episodes = found["return"]["mean"], len(found["episodes"])
        source = f"evaluation at update {at:,}"
        before = [_steps(p, name) for p in points if p["updates"] <= at]
        steps = before[-1] if before else math.nan
    return Result(
        folder=str(folder),
        agent=agent_name(values),
        task=canonical(task),
        tasks=tuple(canonical(task) for task in values["tasks"]),
        seed=values["seed"],
        curve=curve,
        updates=int(last.get("updates", 0)),
        trained_steps=steps,
        trained_hours=_hours(last),
        final=float(final),
        episodes=episodes,
        source=source,
        log_start=json.dumps(points[0]) if points else str(folder),
        **starts,
    )


def _curve(points: list[dict], task: str) -> tuple[dict[str, float], ...]:
    """Where a run stood at each test of a task, from its metrics.

    Returns:
        Updates, episodes, environment steps and hours so far, the return of
        the test, the mean of the last `RECENT` training episodes of that task
        (of fewer if there were no more), and log-probabilities and divergence
        on test episodes in nats; NaN where something was not logged.
    """
    curve, training = [], []
    for point in points:
        point = {k: v for k, v in point.items() if v is not None}
        if f"{_TRAINING}{task}" in point:
            training.append(point[f"{_TRAINING}{task}"])
        if f"{_RETURN}{task}" not in point:
            continue
        recent = training[-RECENT:]
        row = {
            "updates": point["updates"],
            "episodes": point.get("episodes", math.nan),
            "env_steps": _steps(point, task),
            "hours": _hours(point),
            "test_return": point[f"{_RETURN}{task}"],
            "training_return": sum(recent) / len(recent)
            if recent
            else math.nan,
        }
        row |= {name: point.get(name, math.nan) for name in _LOSSES}
        curve.append(row)
    return tuple(curve)


def _steps(point: dict, task: str) -> float:
    """Environment steps of a task; of all, where older runs tell no more."""
    return point.get(f"{_STEPS}{task}", point["env_steps"])


def _hours(point: dict) -> float:
    return point.get(_TIME, math.nan) / 3600


def _written(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(x, int) for x in value):
        return "x".join(map(str, value))  # A shape.
    return value if isinstance(value, str) else json.dumps(value)
