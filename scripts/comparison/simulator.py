"""Returns of the planner on the true simulator, beside the paper's.

They are no runs, as nothing is learned, and are in no other table.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from planet_tf.control.tasks import canonical
from scripts.comparison import cells, published
from scripts.comparison.published import Reference
from scripts.comparison.table import UNKNOWN, Cell, Table

FILE = published.FOLDER / "planner_on_simulator.csv"

_PLAIN = "plain"
_BUDGET = ("candidates", "iterations", "horizon")
_NUMBERS = (*_BUDGET, "elites", "noise_exponent")


class Search(NamedTuple):
    """What a search came to on a task."""

    task: str
    candidates: float
    iterations: float
    horizon: float  # In decisions.
    elites: float
    variant: str  # What it does beside the paper's search.
    returns: list[float]  # Of its episodes.


def read(path: pathlib.Path = FILE) -> list[Search]:
    """Reads the CSV file of `python -m scripts.plan_with_simulator --csv`.

    Raises:
        ValueError: It cannot be read, or is damaged; one line that says where.
    """
    needed = ("task", *_NUMBERS, "warm_start", "returns")
    return [
        Search(
            canonical(row["task"]),
            *map(row.get, (*_BUDGET, "elites")),
            _variant(row["warm_start"] == "True", row["noise_exponent"]),
            row["returns"],
        )
        for row in cells.read(path, needed, _NUMBERS, lists=("returns",))
    ]


def table(searches: Sequence[Search], references: Sequence[Reference]) -> Table:
    """One row for each search, the smallest of a task first."""
    others = {search.task for search in searches} - set(published.TASKS)
    rows: list[tuple[Cell, ...]] = []
    for task in (*published.TASKS, *sorted(others)):
        reference = published.find(references, published.SIMULATOR, task)
        paper = reference.returns[-1] if reference else math.nan
        found = [search for search in searches if search.task == task]
        if not found:
            rows.append((task, UNKNOWN, UNKNOWN, *[math.nan] * 5, paper))
            continue
        best = max(float(np.mean(search.returns)) for search in found)
        for search in sorted(found, key=_size):
            budget = search.candidates, search.iterations, search.horizon
            returns = search.returns
            rows.append(
                (
                    task,
                    " x ".join(f"{number:,.0f}" for number in budget),
                    search.variant,
                    search.elites,
                    len(returns),
                    float(np.mean(returns)),
                    float(np.std(returns)) if len(returns) > 1 else math.nan,
                    best,
                    paper,
                )
            )
    return Table(
        name="simulator",
        title="The planner on the true simulator",
        columns=(
            "task",
            "candidates x iterations x horizon",
            "variant",
            "elites",
            "episodes",
            "mean return",
            "std",
            "our best",
            "paper: 1,000 x 10 x 12",
        ),
        rows=rows,
        note=(
            f"{UNKNOWN}: not measured. For reference: the planner with physics "
            "in place of the model learns nothing, and no other table counts "
            "these returns. Our best: the highest mean of a task's rows. "
            "Plain: as in the paper (there with 100 elites), each decision's "
            "search begins anew, with independent noise; warm start: with the "
            "rest of the last plan; noise 1/f^k: its power falls like this "
            "with the frequency. Horizon: in decisions. Std: over episodes."
        ),
        formats={"mean return": ".1f", "std": ".1f", "our best": ".1f"},
    )


def _variant(warm_start: bool, noise_exponent: float) -> str:
    changes = ["warm start"] * warm_start
    if noise_exponent:
        changes.append(f"noise 1/f^{noise_exponent:g}")
    return ", ".join(changes) or _PLAIN


def _size(search: Search) -> tuple[float, bool, str]:
    """For sorting; of searches of one size, the plain one comes first."""
    size = search.candidates * search.iterations * search.horizon
    return size, search.variant != _PLAIN, search.variant
