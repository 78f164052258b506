"""The tables of a comparison."""

import collections
import math
import re
from collections.abc import Sequence

import numpy as np

from planet_tf.control.tasks import SUITE, TASKS
from scripts.comparison import published, statistics
from scripts.comparison.published import Reference
from scripts.comparison.runs import LAST_TESTS, Result
from scripts.comparison.table import UNKNOWN, Cell, Table

Groups = dict[str, dict[str, list[Result]]]
"""Results of the seeds, by agent and task."""


def group(results: Sequence[Result]) -> Groups:
    """Sorts results by agent and task; seeds of one agent come together.

    Agents with many changed values have short names, if these tell them apart;
    the table of runs has the whole ones.
    """
    shorts = {it.label: _short(it.agent) + it.of_tasks for it in results}
    uses = collections.Counter(shorts.values())
    groups: Groups = {}
    for result in sorted(results, key=lambda r: (r.label, r.task, r.seed)):
        short = shorts[result.label]
        name = short if uses[short] == 1 else result.label
        tasks = groups.setdefault(f"planet_tf {name}", {})
        tasks.setdefault(result.task, []).append(result)
    return groups


def _short(agent: str) -> str:
    parts = re.split(r", (?=\w+=)", agent)  # Not within a list.
    if len(parts) <= 3:
        return agent
    return f"{', '.join(parts[:2])} and {len(parts) - 2} more"


def tasks_of(results: Sequence[Result]) -> list[str]:
    """The paper's tasks, then others that were run."""
    others = {result.task for result in results} - set(published.TASKS)
    return [*published.TASKS, *sorted(others)]


def make_all(
    results: Sequence[Result], references: Sequence[Reference]
) -> list[Table]:
    """All tables of a comparison, in the order of the report."""
    groups, tasks = group(results), tasks_of(results)
    return [
        _runs(results),
        _returns(groups, tasks, references),
        _budgets(groups, tasks, references),
        _intervals(groups),
        _efficiency(groups, references),
    ]


def _runs(results: Sequence[Result]) -> Table:
    return Table(
        name="runs",
        title="The runs",
        columns=(
            "run",
            "agent",
            "task",
            "seed",
            "updates",
            "environment steps",
            "hours",
            "return",
            "episodes",
            "from",
            "machine",
            "commits",
        ),
        rows=[
            (
                result.folder,
                result.label,
                result.task,
                result.seed,
                result.updates,
                result.trained_steps,
                result.trained_hours,
                result.final,
                result.episodes,
                result.source,
                result.machines or UNKNOWN,
                result.commits or UNKNOWN,
            )
            for result in results
        ],
        note=(
            "Agent: the closest preset, with the values that differ from it at "
            "the run's end (`--allow_config_change` may have changed them on "
            "the way). Return: the mean of the noise-free episodes counted "
            "beside it; "
            f"of an evaluation, or of the last {LAST_TESTS} tests while "
            "training if the newest of them is of a later update. Environment "
            "steps: simulator steps in the training data (decisions times "
            "action repeat) when the newest of these episodes was played; of "
            "this task alone, also where an agent learns several (of all of "
            "its tasks, in runs of older versions). Machine and commits: where "
            "and with which code the run was started and went on, each once."
        ),
        formats={"hours": ".2f", "return": ".1f", "seed": "d"},
    )


def _returns(
    groups: Groups, tasks: Sequence[str], references: Sequence[Reference]
) -> Table:
    methods = {
        "A3C (proprioceptive, 100,000 episodes)": "A3C",
        "D4PG (pixels, 100,000 episodes)": "D4PG",
        "PlaNet TF1 (pixels, 1,000 episodes)": published.PLANET,
        "CEM on the true simulator": published.SIMULATOR,
    }
    columns, formats = ["task", *methods], {}
    for name in groups:
        columns += [f"{name}: median return", "seeds", "median steps"]
        formats[f"{name}: median return"] = ".1f"
    rows = []
    for task in tasks:
        row: list[Cell] = [task]
        for method in methods.values():
            reference = published.find(references, method, task)
            row.append(reference.returns[-1] if reference else math.nan)
        for by_task in groups.values():
            done = _tested(by_task.get(task, []))
            row += [
                _median(done, "final"),
                len(done),
                _median(done, "trained_steps"),
            ]
        rows.append(tuple(row))
    return Table(
        name="returns",
        title="Returns beside the paper's Table 1",
        columns=tuple(columns),
        rows=rows,
        note=(
            f"{UNKNOWN}: not run, or not published. Published values are "
            "means at the end of training, over 5 seeds for PlaNet; an episode "
            "has 1,000 environment steps. CEM plans with the simulator's own "
            "state and learns nothing. Medians are over seeds, or one seed's "
            "values; steps are environment steps."
        ),
        formats=formats,
    )


def _budgets(
    groups: Groups, tasks: Sequence[str], references: Sequence[Reference]
) -> Table:
    methods = (
        published.PLANET,
        published.CURVE,
        published.MISALIGNED,
        *published.LATER,
    )
    rows = []
    for task in tasks:
        for budget in published.BUDGETS:
            row: list[Cell] = [task, budget]
            for by_task in groups.values():
                row.append(_return_at(by_task.get(task, []), budget))
            for method in methods:
                reference = published.find(references, method, task)
                row.append(reference.at(budget) if reference else math.nan)
            rows.append(tuple(row))
    return Table(
        name="budgets",
        title="Returns at 100,000, 500,000 and 1,000,000 environment steps",
        columns=("task", "environment steps", *groups, *methods),
        rows=rows,
        note=(
            "planet_tf: the median over seeds of single test episodes, by a "
            "straight line between tests, and only where every seed has come "
            "so far. Dreamer reports 5,000 steps later. Digitised curve: read "
            "off a figure, about ±100. PlaNet (TF1) at 100,000 and 500,000 "
            "steps is from the first version of CURL, whose final version "
            "prints other values (CURL final): these appear to take the TF1 "
            "trainer's step counter, 5,000 an episode, for environment steps, "
            "as they agree with other sources at a fifth of the steps."
        ),
    )


def _intervals(groups: Groups) -> Table:
    rows = []
    samples = {
        name: {
            task: [result.final for result in _tested(results)]
            for task, results in by_task.items()
            if _tested(results)
        }
        for name, by_task in groups.items()
    }
    task_sets = {frozenset(by_task) for by_task in samples.values() if by_task}

    def add(name: str, task: str, samples: list[list[float]]) -> None:
        summary = statistics.summarize(samples)
        interval = "single seed"
        if not math.isnan(summary.low):
            interval = f"{summary.low:.1f} to {summary.high:.1f}"
        scores = (summary.count, summary.median, summary.iqm)
        rows.append((name, task, *scores, interval))

    for name, by_task in samples.items():
        for task, scores in by_task.items():
            add(name, task, [scores])
        if (
            len(by_task) > 1
            and len(task_sets) == 1
            and all(map(_in_suite, by_task))
        ):
            add(name, f"all {len(by_task)} tasks", list(by_task.values()))
    iqm = "interquartile mean"
    return Table(
        name="intervals",
        title="Over seeds",
        columns=("agent", "task", "scores", "median", iqm, "95 % interval"),
        rows=rows,
        note=(
            "The interquartile mean leaves out the lowest and the highest "
            "quarter of the returns; with fewer than four it is the mean. "
            "Intervals: 10,000 bootstrap samples of the seeds of each task, "
            "percentiles; none where a task has a single seed, and too "
            "narrow where it has a few. All tasks: their raw returns together, "
            "each score counting alike; only of dm_control's tasks, whose "
            "returns are all between 0 and 1,000, and only where all agents "
            "here were tested on the same ones."
        ),
        formats={"median": ".1f", iqm: ".1f"},
    )


def _efficiency(groups: Groups, references: Sequence[Reference]) -> Table:
    methods = (
        published.CURVE,
        published.PLANET,
        "A3C",
        "D4PG",
        *published.LATER,
    )
    rows = []
    for name, by_task in groups.items():
        for task, results in by_task.items():
            done = _tested(results)
            target, ours = (
                _median(done, "final"),
                _median(done, "trained_steps"),
            )
            for method in methods:
                reference = published.find(references, method, task)
                # Without any return there is nothing to reach; without a line
                # in the log before an evaluation, its steps are not known.
                if not (reference and target > 0 and ours > 0):
                    continue
                relation, steps = statistics.steps_to_reach(
                    reference.env_steps,
                    reference.returns,
                    target,
                    reference.is_curve,
                )
                ratio = (relation, steps / ours)
                rows.append((name, task, target, ours, method, steps, *ratio))
    return Table(
        name="efficiency",
        title="Data efficiency",
        columns=(
            "agent",
            "task",
            "median return",
            "environment steps",
            "reference",
            "its environment steps",
            "bound",
            "factor",
        ),
        rows=rows,
        note=(
            "Factor: the environment steps after which the reference has our "
            "median return, over ours; above 1, ours needed less data. "
            "'<=': the first published point that has this return, though the "
            "reference may have had it sooner. '>': no published point has "
            "it, so that the reference needs more than its last one. A return "
            "of 0 has no factor."
        ),
        formats={"median return": ".1f", "factor": ".2f"},
    )


def _tested(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if not math.isnan(result.final)]


def _in_suite(task: str) -> bool:
    """Whether it is one of dm_control's."""
    return task in TASKS or task.partition("-")[0] in SUITE


def _median(results: Sequence[Result], name: str) -> float:
    if not results:
        return math.nan
    return float(np.median([getattr(result, name) for result in results]))


def _return_at(results: Sequence[Result], budget: int) -> float:
    """Median over seeds where all have come so far, or NaN."""
    values = [
        np.interp(budget, r.env_steps, r.returns, math.nan, math.nan)
        if len(r.returns)
        else math.nan
        for r in results
    ]
    return float(np.median(values)) if values else math.nan
