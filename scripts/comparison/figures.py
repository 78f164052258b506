"""Learning curves beside published ones."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import offset_copy

from planet_tf.tools import plots
from scripts.comparison import published, statistics
from scripts.comparison.published import Reference
from scripts.comparison.runs import Result
from scripts.comparison.tables import Groups

_COLUMNS = 3  # Panels side by side.
# Runs alone have colors; what was published is black and gray.
_RUN_COLORS = (
    plots.BLUE,
    plots.RED,
    plots.GREEN,
    plots.PURPLE,
    plots.ORANGE,
    plots.SKY,
)
# Agents that were published at the same few numbers of steps: marker, and how
# many points (1/72 inch) it is moved aside, as they would hide each other.
_MARKERS = {
    published.PLANET: ("o", 0),
    **dict(
        zip(
            published.LATER,
            (("^", -14), ("s", -7), ("D", 7), ("v", 14)),
            strict=True,
        )
    ),
}
_ASIDE = (
    "Gray markers were published at 100k, 500k and 1M steps (Dreamer: 5k "
    "later), like the circles, and are moved aside to be seen."
)
# Agents that were published after 100 million steps, far off the axis.
_FAR = {"A3C": ":", "D4PG": "-."}
_LETTERS, _LINE = 12, 0.19  # Of a legend: letters an inch, inches a line.
_FIRST_STEP = 10_000  # Of the logarithmic axis, unless a run has earlier ones.


def over_steps(
    groups: Groups, tasks: Sequence[str], references: Sequence[Reference]
) -> Figure:
    """Return against environment steps: runs, TF1 curve, other agents."""
    fig, panels = _panels(tasks, groups)
    first = min(
        [_FIRST_STEP, *(steps[0] for steps in _all_steps(groups) if len(steps))]
    )
    for ax, task in zip(panels, tasks, strict=True):
        _draw_runs(ax, task, groups, "env_steps")
        _draw_references(ax, task, references)
        ax.set_xscale("log")
        ax.set_xlim(first / 1.1, 1.4e6)
        ax.xaxis.set_major_formatter(FuncFormatter(_thousands))
    _finish(fig, panels, groups, "environment steps", _ASIDE)
    return fig


def over_hours(
    groups: Groups, tasks: Sequence[str], references: Sequence[Reference]
) -> Figure:
    """Return against wall-clock time of the runs, and TF1's final return."""
    fig, panels = _panels(tasks, groups)
    for ax, task in zip(panels, tasks, strict=True):
        _draw_runs(ax, task, groups, "hours")
        reference = published.find(references, published.PLANET, task)
        if reference:
            ax.axhline(
                reference.returns[-1],
                color=plots.BLACK,
                linestyle="--",
                label=f"{published.PLANET} after 1,000 episodes",
            )
        for method in _FAR:
            _draw_far(ax, task, references, method)
        ax.set_xlim(left=0)
    _finish(fig, panels, groups, "hours of training")
    return fig


def _panels(tasks: Sequence[str], groups: Groups) -> tuple[Figure, list[Axes]]:
    """One panel for each task, whose title says how many seeds it shows."""
    columns = min(_COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    fig, axes = plots.figure(rows, columns, (4.2, 3.2), squeeze=False)
    panels = list(axes.flat)
    for ax in panels[len(tasks) :]:
        ax.remove()
    for ax, task in zip(panels, tasks, strict=False):
        counts = [str(len(_tested(groups, name, task))) for name in groups]
        counts = [count for count in counts if count != "0"]
        seeds = " + ".join(counts) + (" seed" if counts == ["1"] else " seeds")
        if not counts:
            started = any(task in by_task for by_task in groups.values())
            seeds = "no test yet" if started else "not run"
        ax.set_title(f"{task}: {seeds}")
    return fig, panels[: len(tasks)]


def _draw_runs(ax: Axes, task: str, groups: Groups, x_name: str) -> None:
    """Median over seeds, their quartiles, and each seed as a thin line."""
    for i, name in enumerate(groups):
        results = _tested(groups, name, task)
        if not results:
            continue
        color = _RUN_COLORS[i % len(_RUN_COLORS)]
        curves = [
            (getattr(result, x_name), result.returns) for result in results
        ]
        x, returns = statistics.common_curve(curves)
        if len(results) > 1:
            for curve in curves:
                ax.plot(*curve, color=color, linewidth=0.6, alpha=0.5)
            ax.fill_between(
                x,
                *np.percentile(returns, [25, 75], axis=0),
                color=color,
                alpha=0.2,
                linewidth=0,
            )
        ax.plot(
            x,
            np.median(returns, axis=0),
            color=color,
            linestyle="--" if i // len(_RUN_COLORS) % 2 else "-",
            linewidth=2,
            marker="o" if len(x) < 100 else None,  # Of more, a thick line.
            markersize=3.5,
            clip_on=False,
            zorder=4,
            label=name,
        )


def _tested(groups: Groups, name: str, task: str) -> list[Result]:
    """The seeds of an agent that were tested on a task at least once."""
    results = groups[name].get(task, [])
    return [result for result in results if len(result.returns)]


def _draw_references(
    ax: Axes, task: str, references: Sequence[Reference]
) -> None:
    curve = published.find(references, published.CURVE, task)
    if curve:
        ax.plot(
            curve.env_steps,
            curve.returns,
            color=plots.BLACK,
            linewidth=1,
            label=curve.method,
        )
    for method, (marker, aside) in _MARKERS.items():
        points = published.find(references, method, task)
        if points:
            ax.plot(
                points.env_steps,
                points.returns,
                transform=offset_copy(
                    ax.transData, ax.figure, aside, units="points"
                ),
                color=plots.GRAY if aside else plots.BLACK,
                marker=marker,
                linestyle="none",
                markersize=5,
                markerfacecolor="white",
                markeredgewidth=1.3,
                label=method,
            )
    for method in _FAR:
        _draw_far(ax, task, references, method)


def _draw_far(
    ax: Axes, task: str, references: Sequence[Reference], method: str
) -> None:
    far = published.find(references, method, task)
    if far:
        ax.axhline(
            far.returns[-1],
            color=plots.GRAY,
            linestyle=_FAR[method],
            linewidth=1.2,
            label=f"{method} after 100,000 episodes",
        )


def _finish(
    fig: Figure,
    panels: Sequence[Axes],
    groups: Groups,
    xlabel: str,
    note: str | None = None,
) -> None:
    """Axis labels, the same scale where it fits, one legend for all panels."""
    shown = {}
    for i, ax in enumerate(panels):
        ax.set_xlabel(xlabel)
        if i % _COLUMNS == 0:
            ax.set_ylabel("return of an episode")
        low, high = ax.dataLim.intervaly
        if 0 <= low and high <= 1000:  # As all of dm_control.
            ax.set_ylim(-20, 1020)
        handles, labels = ax.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    ours = [name for name in groups if name in shown]
    labels = [*ours, *(label for label in shown if label not in ours)]
    # Names of agents with many changes are long.
    columns = min(
        len(panels), 3 if max(map(len, labels), default=0) < 60 else 1
    )
    width, height = fig.get_size_inches()
    letters = int(width * _LETTERS)
    texts = [textwrap.fill(x, letters // columns - 8) for x in labels]
    lines = sum(1 + text.count("\n") for text in texts) / columns
    fig.set_size_inches(width, height + _LINE * max(lines - 4, 0))
    fig.legend(
        [shown[label] for label in labels],
        texts,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        title=note and textwrap.fill(note, letters),
    )


def _all_steps(groups: Groups) -> list[np.ndarray]:
    results: list[Result] = [
        result
        for by_task in groups.values()
        for seeds in by_task.values()
        for result in seeds
    ]
    return [result.env_steps for result in results]


def _thousands(steps: float, _) -> str:
    return f"{steps / 1e6:g}M" if steps >= 1e6 else f"{steps / 1e3:g}k"
