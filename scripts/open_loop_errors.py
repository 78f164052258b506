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

from absl import app, flags

from planet_tf import run_folder, train
from planet_tf.tools.files import atomic_write

_LOGDIR = flags.DEFINE_string("logdir", None, "Folder of a run.")
_OUT = flags.DEFINE_string(
    "out", None, "Folder for the files; <logdir>/predictions by default."
)
_CHECKPOINT = flags.DEFINE_integer(
    "checkpoint", None, "Updates done at a checkpoint; the newest by default."
)
_SEQUENCES = flags.DEFINE_integer(
    "sequences", 100, "Held-out sequences of each task.", 1
)
_SEED = flags.DEFINE_integer("seed", 0, "Chooses the sequences.")

_PREFIX, _SUFFIX = "open_loop/", "_by_step"


def main(argv: list[str]) -> None:
    """Prints the table, writes the files, and says where they are."""
    try:
        if len(argv) > 1:
            raise ValueError(f"Unknown arguments: {' '.join(argv[1:])}")
        if not _LOGDIR.value:
            raise ValueError("Name the folder of a run: --logdir=RUN")
        run = run_folder.find(_LOGDIR.value, _CHECKPOINT.value)
        out = pathlib.Path(_OUT.value or run.logdir / "predictions")
        files = _write(run, out.expanduser())
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"Open-loop errors after update {run.updates:,}:", *files)


def _write(run: run_folder.Run, out: pathlib.Path) -> list[pathlib.Path]:
    # TensorFlow, which flags and a missing run need not wait for.
    with train.without_cuda_complaints():
        from planet_tf.heldout import predict
    from planet_tf import pictures
    from planet_tf.tools import plots
    from planet_tf.training.evaluation import HORIZONS

    found = predict(run, _SEQUENCES.value, _SEED.value)
    rows = table({task: x.curves for task, x in found.items()})
    names = list(rows[0])
    print("  ".join(f"{name:>13}" for name in names))
    for row in rows:
        if row["step"] in HORIZONS:
            print("  ".join(f"{_shown(x):>13}" for x in row.values()))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files = [out / f"open_loop_errors.{kind}" for kind in ("csv", "png")]
    with atomic_write(files[0]) as file:
        file.write(text.getvalue().encode())
    figure = pictures.error_figure({k: v.curves for k, v in found.items()})
    plots.save(figure, files[1])
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


def _shown(value) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    app.run(main)
