"""One look for every plot: sizes, colours, files.

    fig, ax = plots.figure()
    ax.plot(steps, returns, color=plots.COLORS[0])
    ax.set(xlabel="environment steps", ylabel="return")
    plots.save(fig, path)

Figures are made without pyplot: no global state, no display, nothing to close.
"""

import io
import os
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from planet_tf.tools.files import atomic_write

# Okabe and Ito (2008), "Color Universal Design": distinguishable with every
# kind of colour blindness. Their yellow is left out, as it vanishes on white.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK = COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
)
GRAY = "#7f7f7f"  # For references and guides.

_STYLE = {
    "axes.prop_cycle": matplotlib.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": "medium",
    "grid.color": "#e0e0e0",
    "grid.linewidth": 0.6,
}
_DPI = 120


def figure(
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (5.0, 3.6),
    **options: Any,
) -> tuple[Figure, Any]:
    """An empty figure in this project's style.

    Args:
        rows: Of axes.
        columns: Of axes.
        size: Width and height of one of them, in inches.
        **options: For `Figure.subplots`, such as `sharey=True`.

    Returns:
        The figure, and its axes: one `Axes`, or an array [rows, columns] of
        them where there are several (see `squeeze` in `Figure.subplots`).
    """
    with matplotlib.rc_context(_STYLE):
        fig = Figure((size[0] * columns, size[1] * rows), layout="constrained")
        return fig, fig.subplots(rows, columns, **options)


def legend(ax: Axes, **options: Any) -> None:
    """A legend without a frame, if there is anything to explain."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False, **options)


def png(fig: Figure, dpi: int = _DPI) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save(fig: Figure, path: str | os.PathLike) -> None:
    """Writes a PNG, atomically.

    Raises:
        OSError: Naming the file.
    """
    with atomic_write(path) as file:
        file.write(png(fig))
