"""What the commands share: how flags are read, and how errors are shown.

    if __name__ == "__main__":
        define_flags()
        command.run(main)

Those with argparse have `scripts/command_line.py` instead.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from absl import app, flags

from planet_tf.tools import parameters

# Flags of the original's training command: what does their job here.
_RUN_MANY = (
    "One command trains one run. For several: python -m scripts.run_many "
    "--folder=RUNS --num_runs=N -- python -m planet_tf.train "
    "--seed={number} --logdir={folder}, and other flags."
)
REPLACED = {
    "num_runs": _RUN_MANY,
    "ping_every": _RUN_MANY,
    "resume_runs": "The same command continues a run that was stopped; another "
    "--logdir begins a new one.",
}

flags.disclaim_key_flags()  # --help counts them to the module that has them.


def run(main: Callable[..., None], arguments: bool = False) -> NoReturn:
    """Reads the command line and ends the program with `main`.

    A command line that cannot be read ends it with one line and status 2,
    Ctrl-C with status 130, and a reader that has left, as `head` does, with
    status 141, that of programs in C.

    Args:
        main: Called without arguments.
        arguments: Call it with those that are not flags, instead of refusing
            them.
    """

    def call(argv: list[str]) -> None:
        main(*[argv[1:]] if arguments else [])

    def read(argv: list[str]) -> list[str]:
        rest = parse(argv)
        if len(rest) > 1 and not arguments:
            print(f"Unknown arguments: {' '.join(rest[1:])}", file=sys.stderr)
            sys.exit(2)
        return rest

    try:
        try:
            app.run(call, flags_parser=read)
        except SystemExit:
            print(end="", flush=True)  # When Python ends, it is too late.
            raise
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        print_nowhere()
        sys.exit(128 + signal.SIGPIPE)


def print_nowhere() -> None:
    """To be called when the reader of stdout has left.

    Python would try once more to print what is left.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def parse(arguments: list[str]) -> list[str]:
    """Reads a command line.

    A flag that is unknown or cannot be read ends the program in one line.

    Returns:
        What is left of the arguments.
    """
    try:
        return flags.FLAGS(arguments)
    except flags.UnrecognizedFlagError as error:
        known = flags.FLAGS.get_key_flags_for_module(arguments[0])
        known = sorted(flag.name for flag in known)
        name = error.flagname.removeprefix("no")
        message = f"There is no flag --{error.flagname}"
        if name in REPLACED:
            message += f". {REPLACED[name]}"
        else:
            message += parameters.suggestion(name, known, "flags")
    except flags.Error as error:
        message = " ".join(str(error).split())
    print(message, file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Ends the program with an error's message instead of a traceback.

    Status 2 if files or input are wrong (OSError, ValueError), and 1 if
    something failed on the way (RuntimeError).
    """
    try:
        yield
    except BrokenPipeError:  # See `run`.
        raise
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(1 if isinstance(error, RuntimeError) else 2)


def define_run() -> None:
    """Defines `--logdir` and `--checkpoint`, of a run that is there."""
    flags.DEFINE_string("logdir", None, "Folder of a run.")
    flags.DEFINE_string(
        "checkpoint",
        None,
        "Updates at a checkpoint, or best; by default the newest.",
    )


def logdir() -> str:
    """The value of `--logdir`; ValueError if it was not given."""
    if not flags.FLAGS.logdir:
        raise ValueError("Name the folder of a run: --logdir=RUN")
    return flags.FLAGS.logdir
