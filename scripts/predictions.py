"""What the commands share that show open-loop predictions of a run."""

import pathlib
from collections.abc import Callable, Sequence

from absl import flags

from planet_tf import command, run_folder
from planet_tf.tools.files import expanded

flags.disclaim_key_flags()  # --help counts them to the module that has them.


def show(
    write: Callable[..., Sequence[pathlib.Path]], what: str, *options: str
) -> None:
    """Writes files about the run that was named, and says where they are.

    Args:
        write: Called with the run, the folder for the files, the values of
            `--sequences` and `--seed`, and those of `options`; returns files.
        what: Is in them.
        options: Names of further flags.
    """
    values = flags.FLAGS
    options = [getattr(values, x) for x in ("sequences", "seed", *options)]

    def written(run: run_folder.Run):
        out = expanded(values.out or run.logdir / "predictions")
        return run, write(run, out, *options)

    with command.reported():
        run, files = run_folder.use(
            written, command.logdir(), values.checkpoint
        )
    print(f"{what} after update {run.updates:,}:", *files)


def define_flags(sequences: int, most: int | None = None) -> None:
    """The flags of these commands.

    Args:
        sequences: How many there are by default.
        most: There can be.
    """
    command.define_run()
    flags.DEFINE_string(
        "out", None, "Folder for the files; <logdir>/predictions by default."
    )
    flags.DEFINE_integer(
        "sequences", sequences, "Held-out sequences of each task.", 1, most
    )
    flags.DEFINE_integer("seed", 0, "Chooses the sequences.", 0)
