"""How far a model sees: `python -m scripts.open_loop_errors --logdir=RUN`.

Errors of open-loop predictions on held-out sequences (5 frames seen, then from
actions alone) against the number of steps after the last image, beside those of
repeating the last image and reward that were seen. Prints a table and writes
open_loop_errors.csv, with every step, and open_loop_errors.png.
"""

import pathlib
from collections.abc import Iterable

from planet_tf import command, run_folder
from planet_tf.tools.files import csv_text, write_text
from planet_tf.tools.quiet import without_cuda_complaints
from scripts import predictions

_PREFIX, _SUFFIX = "open_loop/", "_by_step"


def main() -> None:
    """Prints the table, writes the files, and says where they are."""
    predictions.show(write, "Open-loop errors")


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
    files = [out / f"open_loop_errors.{kind}" for kind in ("csv", "png")]
    write_text(files[0], csv_text([names, *(x.values() for x in rows)]))
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
    predictions.define_flags(sequences=100)


if __name__ == "__main__":
    define_flags()
    command.run(main)
