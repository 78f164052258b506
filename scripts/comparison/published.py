"""Results of other agents; sources and caveats are in results/README.md."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable

from planet_tf.control.tasks import canonical
from scripts.comparison import cells

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "results"

TASKS = (
    "cartpole_swingup",
    "reacher_easy",
    "cheetah_run",
    "finger_spin",
    "cup_catch",
    "walker_walk",
)
"""The paper's six tasks, in the order of its Table 1."""

PLANET = "PlaNet (TF1)"
MISALIGNED = "PlaNet (TF1), CURL final"
CURVE = "PlaNet (TF1), digitised curve"
SIMULATOR = "CEM on the true simulator"
LATER = ("Dreamer (TF2)", "DreamerV3", "TD-MPC2 (pixels)", "DrQ")

BUDGETS = (100_000, 500_000, 1_000_000)
"""Environment steps at which later papers report returns."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A published agent on one task."""

    method: str
    task: str
    env_steps: tuple[float, ...]  # Ascending.
    returns: tuple[float, ...]
    is_curve: bool  # Or a few separate points.

    def at(self, budget: float) -> float:
        """The return near a number of environment steps, or NaN.

        A tenth more or less counts as the same: Dreamer reports at 105,000.
        """
        near = min(
            zip(self.env_steps, self.returns, strict=True),
            key=lambda point: abs(point[0] - budget),
        )
        return near[1] if abs(near[0] - budget) <= 0.1 * budget else math.nan


def read(folder: pathlib.Path = FOLDER) -> list[Reference]:
    """Reads published.csv and the curve of planet_curves_digitised.csv.

    Raises:
        ValueError: One of them is missing or damaged; names the file.
    """
    points = _rows(folder / "published.csv", "method", "return_mean")
    # The other curves in the file are single seeds of a port.
    curves = _rows(
        folder / "planet_curves_digitised.csv", "source", "return_approx"
    )
    return _references(points, is_curve=False) + _references(
        (
            (CURVE, *rest)
            for source, *rest in curves
            if source == "SAC-AE graph.png PlaNet"
        ),
        is_curve=True,
    )


def find(
    references: Iterable[Reference], method: str, task: str
) -> Reference | None:
    """The results of a method on a task, if there are any."""
    found = (r for r in references if (r.method, r.task) == (method, task))
    return next(found, None)


def _rows(
    path: pathlib.Path, method: str, value: str
) -> list[tuple[str, str, float, float]]:
    """Method, task, steps and return; `method` and `value` name columns."""
    numbers = ("env_steps", value)
    return [
        (row[method], canonical(row["task"]), *map(row.get, numbers))
        for row in cells.read(path, (method, "task", *numbers), numbers)
    ]


def _references(
    rows: Iterable[tuple[str, str, float, float]], is_curve: bool
) -> list[Reference]:
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for method, task, steps, value in rows:
        points.setdefault((method, task), []).append((steps, value))
    return [
        Reference(method, task, *zip(*sorted(known), strict=True), is_curve)
        for (method, task), known in points.items()
    ]
