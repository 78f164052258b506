"""Whether runs learn as the original does: several seeds beside its one run.

    python -m scripts.learning_parity RUNS... --out=results/learning_parity

Reads the folders of runs of one task, and what the original logged with the
same flags (`--original`), and writes learning_parity.csv and
learning_parity.png: the objectives and the gradient's norm against updates,
returns against episodes. The table has means over stretches of updates (or of
episodes): the original's, and the mean, lowest and highest of the runs.
"""

import json
import math
import pathlib
import sys

import numpy as np
import yaml

from planet_tf.tools.files import csv_text, expanded, write_text
from scripts import command_line
from scripts.comparison import cells

IMAGE = "image log-probability"
# What a measure is called in the original's file, and in ours.
OBJECTIVES = {
    IMAGE: ("image_log_prob", "train/image"),
    "reward log-probability": ("reward_log_prob", "train/reward"),
    "divergence beyond free nats": (
        "divergence_after_free_nats",
        "train/divergence",
    ),
    "gradient norm": ("grad_norm", "train/grad_norm"),
}
RETURNS = {"return of training": "train", "return of tests": "test"}
STRETCHES = 6
BIN = 50  # Updates behind a point of the picture.
SEED_EPISODES = 5  # Random ones, which ours do not log.

# [P, 2] by measure: updates or training episodes, ascending, and the value.
Curves = dict[str, np.ndarray]


def main() -> None:
    """Compares, prints the table, and says where the files are."""
    parser = command_line.Parser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=expanded, metavar="RUN")
    folder = pathlib.Path("results/learning_parity")
    parser.add_argument(
        "--original",
        type=expanded,
        default=folder / "original.csv",
        help="What the original logged.",
    )
    parser.add_argument(
        "--out", type=expanded, default=folder, help="Folder for the files."
    )
    values = parser.parse_args()
    try:
        runs = {path.name: read_run(path) for path in values.runs}
        batch_size = _config(values.runs[0])["batch_shape"][0]
        original = read_original(values.original, batch_size)
        rows = compare(original, list(runs.values()))
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
        name, *numbers = map(_shown, row.values())
        print(f"{name:28}", *(f"{number:>9}" for number in numbers))
    files = [values.out / f"learning_parity.{kind}" for kind in ("csv", "png")]
    write_text(files[0], csv_text([rows[0], *(x.values() for x in rows)]))
    draw(original, runs, files[1])
    print("Learning beside the original's:", *files)


def read_run(folder: pathlib.Path) -> Curves:
    """What a run logged.

    Raises:
        ValueError: It cannot be read, or has no test yet.
    """
    path, task = folder / "metrics.jsonl", _config(folder)["tasks"][0]
    try:
        points = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error

    def curve(x: str, name: str) -> np.ndarray:
        found = [p for p in points if p.get(name) is not None]
        if not found:
            raise ValueError(f"{path} has no {name} yet.")
        return np.array([(p[x], p[name]) for p in found], float)

    return {
        title: curve("updates", name) for title, (_, name) in OBJECTIVES.items()
    } | {
        title: curve("episodes", f"{split}/return_{task}")
        for title, split in RETURNS.items()
    }


def read_original(path: pathlib.Path, batch_size: int) -> Curves:
    """What the original logged after its seed episodes.

    Its global step, which grows by the batch size with every update, counts
    those before the one that is logged. The objectives of its test phases
    belong to other episodes and are left out.

    Raises:
        ValueError: It cannot be read.
    """
    kind, split, step = "kind", "phase_or_split", "global_step_or_episode"
    splits = {split: title for title, split in RETURNS.items()}
    points = {title: [] for title in [*OBJECTIVES, *RETURNS]}
    episodes = 0
    for row in cells.read(path, (kind, split, step), numbers=()):
        number = int(row[step])
        if row[kind] == "episode":
            episodes = number if row[split] == "train" else episodes
            if number > SEED_EPISODES:
                value = float(row["return"])
                points[splits[row[split]]].append((episodes, value))
        elif row[split] == "train":
            updates = number / batch_size + 1
            for title, (name, _) in OBJECTIVES.items():
                if name in row:
                    points[title].append((updates, float(row[name])))
    return {title: np.array(found) for title, found in points.items()}


def compare(original: Curves, runs: list[Curves]) -> list[dict]:
    """One row for each measure and stretch, as far as all of them go."""
    rows = []
    for title, curve in original.items():
        curves = [curve, *(run[title] for run in runs)]
        start = SEED_EPISODES if title in RETURNS else 0
        end = min(c[-1, 0] for c in curves)
        bounds = np.linspace(start, end, STRETCHES + 1)
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            value, *values = (_mean(title, c, low, high) for c in curves)
            rows.append(
                {
                    "measure": title,
                    "from": round(low),
                    "to": round(high),
                    "original": value,
                    "mean": float(np.mean(values)),
                    "lowest": min(values),
                    "highest": max(values),
                }
            )
    return rows


def draw(original: Curves, runs: dict[str, Curves], path: pathlib.Path) -> None:
    """A PNG with one panel for each measure; the original's curve is black."""
    from planet_tf.tools import plots  # Which --help need not wait for.

    fig, axes = plots.figure(2, 3, size=(4.4, 3.2))
    colors = [*plots.COLORS[: len(runs)], plots.BLACK]
    everyone = {**runs, "original": original}
    for ax, title in zip(axes.flat, original, strict=True):
        for color, (name, curves) in zip(colors, everyone.items(), strict=True):
            dots = {"marker": "o", "markersize": 3, "linewidth": 0.6}
            style = dots if title in RETURNS else {"linewidth": 1.2}
            curve = _smooth(title, curves[title])
            ax.plot(*curve.T, color=color, label=name, **style)
        ax.set(
            title=title,
            xlabel="training episodes" if title in RETURNS else "updates",
            ylabel="return of an episode" if title in RETURNS else "nats",
        )
    # The first points of the image lie a hundred times lower than the rest.
    learned = np.concatenate(
        [_smooth(IMAGE, c[IMAGE]) for c in everyone.values()]
    )
    learned = learned[learned[:, 0] > learned[:, 0].max() / 10, 1]
    axes[0, 0].set_ylim(learned.min() - 2, learned.max() + 2)
    axes[0, 0].ticklabel_format(useOffset=False)
    axes[1, 0].set(yscale="log", ylabel="norm")
    plots.legend(axes[0, 0])
    plots.save(fig, path)


def _mean(title: str, curve: np.ndarray, low: float, high: float) -> float:
    """Of what was logged after `low` and until `high`; NaN: nothing.

    Objectives are means over the updates since the last point, some of one
    update, some of forty, and count for as much.
    """
    inside = (curve[:, 0] > low) & (curve[:, 0] <= high)
    if not inside.any():
        return math.nan
    counts = np.diff(curve[:, 0], prepend=0) if title in OBJECTIVES else None
    weights = None if counts is None else counts[inside]
    return float(np.average(curve[inside, 1], weights=weights))


def _smooth(title: str, curve: np.ndarray) -> np.ndarray:
    """Means of objectives over `BIN` updates each; returns as they are."""
    if title in RETURNS:
        return curve
    ends = np.arange(BIN, curve[-1, 0] + BIN, BIN)
    means = [(end, _mean(title, curve, end - BIN, end)) for end in ends]
    return np.array([point for point in means if not math.isnan(point[1])])


def _config(folder: pathlib.Path) -> dict:
    path = folder / "config.yaml"
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _shown(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
