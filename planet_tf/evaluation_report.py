"""What an evaluation found: table, JSON, CSV, plot and videos."""

import json
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from planet_tf.control import plan_quality
from planet_tf.control.episodes import Episode, episode_return
from planet_tf.control.plan_quality import Columns
from planet_tf.control.tasks import label as file_name
from planet_tf.tools import plots
from planet_tf.tools.files import csv_text, write_text
from planet_tf.tools.gif import upscale
from planet_tf.tools.video import write_videos

_SHOWN = 10  # Episodes in a video.
_COLUMNS = 5  # Of these side by side.
_SCALE = 3  # Screen pixels for each pixel of the camera.
_LABEL = 16  # Height of the line above each episode, in screen pixels.
_GAP = 4


class Played(NamedTuple):
    """Episodes of one task, with what the planner thought."""

    seeds: list[int]
    episodes: list[Episode]
    plans: list[Columns]  # See `plan_quality.decisions`; empty without.
    horizon: int
    value: bool = False  # Whether searches count what comes after it.

    @property
    def returns(self) -> list[float]:
        """Undiscounted."""
        return [episode_return(episode) for episode in self.episodes]

    @property
    def lengths(self) -> list[int]:
        """In decisions."""
        return [len(episode["reward"]) - 1 for episode in self.episodes]

    @property
    def plan(self) -> Columns:
        """Those of all episodes in a row."""
        return {
            name: np.concatenate([columns[name] for columns in self.plans])
            for name in self.plans[0]
        }


def statistics(values: list[float]) -> dict[str, float]:
    """Mean, population standard deviation, median, minimum and maximum."""
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "median": float(np.median(values)),
        "min": float(np.min(values)),
        "max": float(np.max(values)),
    }


def summary(played: Played) -> dict:
    """One task's figures, ready for JSON."""
    rows = zip(played.seeds, played.returns, played.lengths, strict=True)
    result = {
        "return": statistics(played.returns),
        "length": statistics(played.lengths),
        "episodes": [
            {"seed": seed, "return": total, "length": length}
            for seed, total, length in rows
        ],
    }
    if played.plans:
        result["plan_quality"] = plan_quality.summary(
            played.plan, played.horizon
        )
    return result


def table(task: str, found: dict) -> str:
    """The figures of `summary`, to read."""
    lines = [
        f"{task}",
        f"{'episode':>8}{'seed':>12}{'return':>10}{'length':>8}",
    ]
    for i, row in enumerate(found["episodes"]):
        lines.append(
            f"{i:>8}{row['seed']:>12}{row['return']:>10.1f}{row['length']:>8}"
        )
    for name in found["return"]:
        lines.append(
            f"{name:>8}{'':>12}{found['return'][name]:>10.1f}"
            f"{found['length'][name]:>8.1f}"
        )
    plan = found.get("plan_quality", {})
    if plan.get("decisions"):
        correlation = plan["correlation"]
        lines.append(
            f"  planned returns over {plan['horizon']} decisions: predicted "
            f"{plan['predicted']:.2f}, came {plan['realized']:.2f}, "
            "correlation "
            + ("undefined" if correlation is None else f"{correlation:.2f}")
        )
    return "\n".join(lines)


def write(
    outdir: pathlib.Path, header: dict, played: dict[str, Played]
) -> None:
    """Writes everything into a folder.

    `evaluation.json`, `<task>.gif`, `<task>.mp4` and, where the planner was
    recorded, `plan_quality.csv` and `plan_quality.png`.

    Args:
        outdir: Made when missing; files of these names are replaced.
        header: What the JSON says about the evaluation as a whole.
        played: By task.

    Raises:
        OSError: Naming the file that could not be written.
    """
    tasks = {task: summary(each) for task, each in played.items()}
    write_text(
        outdir / "evaluation.json",
        json.dumps({**header, "tasks": tasks}, indent=1) + "\n",
    )
    for task, each in played.items():
        write_videos(outdir / file_name(task), video(each))
    if all(each.plans for each in played.values()):
        write_text(outdir / "plan_quality.csv", csv_text(_rows(played)))
        _plot(outdir / "plan_quality.png", played, tasks)


def video(played: Played) -> np.ndarray:
    """The first episodes side by side, uint8 [T, H, W, 3].

    At a size to look at, with number and return above each. One that ends
    early stands still.
    """
    tiles = []
    longest = max(played.lengths[:_SHOWN])
    shown = zip(played.episodes, played.returns, strict=True)
    for i, (episode, total) in enumerate([*shown][:_SHOWN]):
        frames = upscale(episode["image"], _SCALE)
        rest = [(0, longest + 1 - len(frames)), *[(0, 0)] * 3]
        frames = np.pad(frames, rest, "edge")
        label = _label(f"episode {i}, return {total:.0f}", frames.shape[2])
        label = np.broadcast_to(label, (len(frames), *label.shape))
        tile = np.concatenate([label, frames], 1)
        tiles.append(np.pad(tile, [(0, 0), (0, _GAP), (0, _GAP), (0, 0)]))
    columns = min(_COLUMNS, len(tiles))
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [
        np.concatenate(tiles[i : i + columns], 2)
        for i in range(0, len(tiles), columns)
    ]
    return np.concatenate(rows, 1)


def _label(text: str, width: int) -> np.ndarray:
    """A line of text, uint8 [_LABEL, width, 3]."""
    image = Image.new("RGB", (width, _LABEL))
    font = ImageFont.load_default(_LABEL - 4)
    ImageDraw.Draw(image).text((2, 0), text, "white", font)
    return np.asarray(image)


def _rows(played: dict[str, Played]) -> list[list]:
    """One for every decision; a planner's iterations side by side."""
    rows = []
    for task, each in played.items():
        for episode, columns in enumerate(each.plans):
            if not rows:
                rows.append(["task", "episode", *_names(columns)])
            for cells in np.column_stack(list(columns.values())):
                rows.append([task, episode, *(f"{x:.6g}" for x in cells)])
    return rows


def _names(columns: Columns) -> list[str]:
    names = []
    for name, values in columns.items():
        if values.ndim == 1:
            names.append(name)
        else:
            names += [f"{name}_{i + 1}" for i in range(values.shape[1])]
    return names


def _plot(
    path: pathlib.Path, played: dict[str, Played], tasks: dict[str, dict]
) -> None:
    """A row for each task: predictions, and how the searches went."""
    fig, axes = plots.figure(len(played), 3, squeeze=False)
    for (task, each), (scatter, returns, spread) in zip(
        played.items(), axes, strict=True
    ):
        _plot_predictions(scatter, task, each, tasks[task]["plan_quality"])
        iterations = np.arange(1, each.plan["elite_return"].shape[1] + 1)
        means = tasks[task]["plan_quality"]
        for ax in (returns, spread):
            ax.set_xlabel("iteration of the search")
            ax.xaxis.get_major_locator().set_params(integer=True)
        middle = np.array(means["elite_return"])
        std = np.array(means["elite_return_std"])
        returns.plot(iterations, middle, "o-", color=plots.BLUE, label="elites")
        returns.fill_between(
            iterations,
            middle - std,
            middle + std,
            color=plots.BLUE,
            alpha=0.2,
            label="± std among the elites",
        )
        if not each.value:
            # Elites owe their returns to lucky samples of the future as well.
            returns.axhline(
                each.plan["predicted"].mean(),
                linestyle="--",
                color=plots.ORANGE,
                label="plan, over all samples",
            )
        returns.set(
            title=f"{task}: elites, mean over decisions",
            ylabel="what plans are worth, value included"
            if each.value
            else f"predicted return over {each.horizon} decisions",
        )
        for name, marker, color, label in (
            ("elite_spread", "o-", plots.BLUE, "whole horizon"),
            ("first_spread", "s--", plots.ORANGE, "first action"),
        ):
            spread.plot(
                iterations, means[name], marker, color=color, label=label
            )
        spread.set(
            title=f"{task}: elites, mean over decisions",
            ylabel="std of elite actions (range -1 to 1)",
            ylim=(0, None),
        )
        plots.legend(returns)
        plots.legend(spread)
    plots.save(fig, path)


def _plot_predictions(ax, task: str, each: Played, found: dict) -> None:
    """Every decision as a point; on the diagonal, what was predicted came."""
    chosen = plan_quality.whole(each.plan, each.horizon)
    x, y = chosen["predicted"], chosen["realized"]
    if len(x):
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        ax.plot(ends, ends, "--", color=plots.GRAY, label="predicted = came")
    ax.plot(x, y, ".", color=plots.BLUE, alpha=0.3, markeredgewidth=0)
    correlation = found.get("correlation")
    number = "undefined" if correlation is None else f"{correlation:.2f}"
    ax.set(
        title=f"{task}: {len(x)} decisions, correlation {number}",
        xlabel=f"predicted return over {each.horizon} decisions",
        ylabel="return that came",
    )
    plots.legend(ax)
