"""How far a model sees: `python -m scripts.open_loop_errors --logdir=RUN`.

Errors of open-loop predictions on held-out sequences (5 frames seen, then from
actions alone) against the number of steps after the last image, beside those of
repeating the last image and reward that were seen. Prints a table and writes
open_loop_errors.csv, with every step, and open_loop_errors.png.
"""

import csv
import io
import pathlib
import sys
from collections.abc import Iterable

from absl import app, flags

from planet_tf import config_flags, run_folder
from planet_tf.tools.files import atomic_write, expanded
from planet_tf.tools.quiet import without_cuda_complaints

_PREFIX, _SUFFIX = "open_loop/", "_by_step"


def main(argv: list[str]) -> None:
    """Prints the table, writes the files, and says where they are."""
    values = flags.FLAGS

    def show(run: run_folder.Run):
        out = expanded(values.out or run.logdir / "predictions")
        return run, write(run, out, values.sequences, values.seed)

    try:
        if len(argv) > 1:
            raise ValueError(f"Unknown arguments: {' '.join(argv[1:])}")
        if not values.logdir:
            raise ValueError("Name the folder of a run: --logdir=RUN")
        run, files = run_folder.use(show, values.logdir, values.checkpoint)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"Open-loop errors after update {run.updates:,}:", *files)


def write(
    run: run_folder.Run, out: pathlib.Path, sequences: int = 100, seed: int = 0
) -> list[pathlib.Path]:
    """Prints the table, writes CSV and PNG, and returns them; see the flags."""
    # TensorFlow, which flags and a missing run need not wait for.
    with without_cuda_complaints():
        from planet_tf.heldout import predict
    from planet_tf import pictures
    from planet_tf.tools import plots
    from planet_tf.training.evaluation import HORIZONS

    curves = {k: v.curves for k, v in predict(run, sequences, seed).items()}
    rows = table(curves)
    names = list(rows[0])
    shown = [row.values() for row in rows if row["step"] in HORIZONS]
    print(*aligned([names, *shown]), sep="\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files = [out / f"open_loop_errors.{kind}" for kind in ("csv", "png")]
    with atomic_write(files[0]) as file:
        file.write(text.getvalue().encode())
    plots.save(pictures.error_figure(curves), files[1])
    return files


def table(curves: dict[str, dict]) -> list[dict]:
    """One row for each task and step, from `Holdout.curves` by task."""
    return [
        {
            "task": task,
            "step": k + 1,
            **{
                name.removeprefix(_PREFIX).removesuffix(_SUFFIX): float(
                    curve[k]
                )
                for name, curve in lines.items()
            },
        }
        for task, lines in curves.items()
        for k in range(len(next(iter(lines.values()))))
    ]


def aligned(rows: Iterable[Iterable[str | int | float]]) -> list[str]:
    """A line for each row, with columns as wide as what is in them."""
    cells = [
        [f"{x:.4f}" if isinstance(x, float) else str(x) for x in row]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(f"{x:>{width}}" for x, width in zip(row, widths, strict=True))
        for row in cells
    ]


def define_flags() -> None:
    """The flags of this command."""
    flags.DEFINE_string("logdir", None, "Folder of a run.")
    flags.DEFINE_string(
        "out", None, "Folder for the files; <logdir>/predictions by default."
    )
    flags.DEFINE_string(
        "checkpoint",
        None,
        "Updates at a checkpoint, or best; by default the newest.",
    )
    flags.DEFINE_integer(
        "sequences", 100, "Held-out sequences of each task.", 1
    )
    flags.DEFINE_integer("seed", 0, "Chooses the sequences.", 0)


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=config_flags.parse)
