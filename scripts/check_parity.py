"""Compares this code with what the original computes, number for number.

    python -m scripts.check_parity tests/golden

The folder holds arrays that were made by executing the original code with
weights that are a formula of their names (`planet_tf/tools/golden.py`) and with
stored noise. The functions in `scripts/parity` give the same inputs and noise
to the code that trains and acts. Every array is an input, is compared, or is
listed with the reason why not.

Any folder in that layout will do: sizes of networks, the planner's elites and
the states that worlds begin in are taken from its arrays. Settings that the
arrays do not contain are `SETTINGS` in `scripts/parity/report.py`, where a
`settings.json` in the folder does not say otherwise.

Differences are relative to the largest magnitude in an array, or in each of its
rows where those belong to different variables. The exit status is 0 only when
every array is accounted for and within its tolerance.
"""

import functools
import importlib
import json
import math
import sys
import traceback
from collections.abc import Callable
from typing import Any

from planet_tf.tools.quiet import without_cuda_complaints
from scripts.command_line import Parser
from scripts.parity.report import Check, Parity

# Files of the folder, and the functions that compare their arrays. As text,
# because processes of worlds import this module, and must not import
# TensorFlow.
SECTIONS = {
    "networks": "model.networks",
    "gru": "model.gru",
    "rssm": "model.dynamics",
    "ssm": "model.dynamics",
    "drnn": "model.dynamics",
    "init": "model.init",
    "losses": "training.losses",
    "model_losses": "training.model_losses",
    "overshooting": "training.overshooting",
    "optimizer": "training.optimizer",
    "cem": "acting.cem",
    "agent": "acting.agent",
    "data": "data.data",
    "episode": "worlds.episode",
    "physics": "worlds.physics",
}


def section(file: str) -> Callable[[Parity], None]:
    """The function that compares the arrays of a file."""
    module, name = SECTIONS[file].split(".")
    function = getattr(
        importlib.import_module(f"scripts.parity.{module}"), name
    )
    if name == "dynamics":
        return functools.partial(function, file=file)
    return function


def main(arguments: list[str] | None = None) -> int:
    """Runs all comparisons, prints them and returns the exit status."""
    parser = Parser(description=__doc__)
    parser.add_argument("directory", metavar="DIR", help="the golden arrays")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead"
    )
    args = parser.parse_args(arguments)
    try:
        parity = Parity(args.directory)
    except ValueError as error:
        parser.error(str(error))
    if not parity.files():
        parser.error(f"there are no npz files in {args.directory}")
    with without_cuda_complaints():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")  # It warns of traces, one a size.
    if not args.json:
        print(_row("array", "shape", "absolute", "relative", "tolerance"))
    errors = {}
    for file in SECTIONS:
        done = len(parity.checks)
        try:
            section(file)(parity)
        except Exception as error:  # The other files are still compared.
            if not isinstance(error, FileNotFoundError):
                traceback.print_exc()
            errors[file] = f"{type(error).__name__}: {error}"
        if not args.json:
            for check in parity.checks[done:]:
                print(_line(check), flush=True)
    for file in set(parity.files()) - set(errors):
        for array in parity.unread(file):
            errors[array] = "nothing compares this array"
    failed = sum(not check.passed for check in parity.checks)
    if args.json:
        print(json.dumps(_report(parity, errors), indent=2))
    else:
        for array, reason in parity.skipped.items():
            print(f"not compared: {array}: {reason}")
        for name, error in errors.items():
            print(f"ERROR: {name}: {error}")
        print(
            f"{len(parity.checks) - failed} comparisons pass, {failed} fail; "
            f"{len(errors)} errors"
        )
    return int(failed > 0 or len(errors) > 0)


def _row(array, shape, absolute, relative, tolerance, verdict="", note=""):
    text = f"{array:47}{shape:>13}{absolute:>10}{relative:>10}{tolerance:>11}"
    return f"{text}  {verdict}  {note}".rstrip()


def _line(check: Check) -> str:
    numbers = (check.absolute, check.relative, check.tolerance)
    return _row(
        check.array,
        "x".join(str(size) for size in check.shape),
        *(f"{number:.1e}" for number in numbers),
        "pass" if check.passed else "FAIL",
        check.note,
    )


def _report(parity: Parity, errors: dict[str, str]) -> dict[str, Any]:
    checks = [
        # JSON has no NaN or infinity.
        {
            name: value
            if not isinstance(value, float) or math.isfinite(value)
            else None
            for name, value in check._asdict().items()
        }
        | {"passed": check.passed}
        for check in parity.checks
    ]
    return {
        "passed": not errors and all(check["passed"] for check in checks),
        "checks": checks,
        "not_compared": parity.skipped,
        "errors": errors,
    }


if __name__ == "__main__":
    sys.exit(main())
