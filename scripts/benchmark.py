"""Times the parts of a run beside what the hardware could do.

    python -m scripts.benchmark update act
    python -m scripts.benchmark --all --config=cpu --json
    python -m scripts.benchmark update --batch=16 --length=50 --threads=2
    python -m scripts.benchmark update plan --precision=bfloat16 --plain

update    one gradient step on a batch in memory
plan      one search for a plan, from a state to the mean of its actions
act       one decision of the agent: encode, filter, plan
render    one frame, at both qualities
simulate  one decision in the world: the action repeated, no frame
replay    one batch out of replay
episode   one episode: every decision planned, carried out and drawn

Takes every flag of a Config. Each repetition runs all parts once, one after
another, and a large matrix product whose rate is the limit: measured beside
the parts and in their precision, it shares the machine's state with them.
Arithmetic is counted in `planet_tf/tools/flops.py`; `act` and `episode` count
their plans alone. With `--plain`, update and plan also run as a plain Keras
graph in float32 (`scripts/plain.py`), and the table ends with how many times as
fast ours are; beside parts in bfloat16, no limit is given for plain ones.
"""

import contextlib
import dataclasses
import functools
import json
import os
import statistics
import sys
import time

from absl import flags, logging

from planet_tf import command, config_flags
from planet_tf.config import Config
from planet_tf.control.make import choose_backend_for
from planet_tf.control.workers import Worker
from planet_tf.machine import cores
from planet_tf.validation import validate
from scripts.benchmark_parts import NAMES, PLAIN, MatrixProduct, Part, parts


def measure(
    timed: dict[str, Part], product: Worker, reps: int
) -> dict[str, list[float]]:
    """Runs everything in turn; seconds by name, the matrix product first."""
    product.call("seconds", None)()
    for part in timed.values():  # Compiles, and fills caches.
        (part.warm or part.run)()
    seconds = {"matrix": [], **{name: [] for name in timed}}
    for _ in range(reps):
        seconds["matrix"].append(product.call("seconds", None)())
        for name, part in timed.items():
            start = time.perf_counter()
            part.run()
            spent = time.perf_counter() - start
            seconds[name].append(spent / part.count)
    return seconds


def rows(
    seconds: dict[str, list[float]],
    gflop: dict[str, float | None],
    precision: str,
    threads: int,
) -> list[dict]:
    """What is reported of each part.

    Args:
        seconds: As `measure` returns them.
        gflop: Arithmetic of each part; None: not counted.
        precision: Of the matrix product, and of all that is not plain.
        threads: Cores used.
    """
    measured = gflop["matrix"] / statistics.median(seconds["matrix"])
    result = []
    for name, times in seconds.items():
        median = statistics.median(times)
        rate = None if gflop[name] is None else gflop[name] / median
        own = "float32" if name in PLAIN.values() else precision
        # A limit holds for its own precision.
        limit = measured if own == precision else None
        result.append(
            {
                "name": name,
                "median_s": median,
                "min_s": min(times),
                "max_s": max(times),
                "gflop": gflop[name],
                "gflop_per_s": rate,
                "limit_gflop_per_s": limit,
                "fraction_of_limit": rate / limit if rate and limit else None,
                "precision": own,
                "threads": threads,
            }
        )
    return result


def table(found: list[dict]) -> str:
    """The rows for people to read."""
    lines = [
        f"{'':16}{'median s':>10}{'min':>10}{'max':>10}{'GFLOP':>9}"
        f"{'GFLOP/s':>9}{'of limit':>10}"
    ]
    for row in found:
        line = (
            f"{row['name']:16}{row['median_s']:10.4f}{row['min_s']:10.4f}"
            f"{row['max_s']:10.4f}"
        )
        if row["gflop"] is not None:
            line += f"{row['gflop']:9.1f}{row['gflop_per_s']:9.1f}"
        if row["fraction_of_limit"] is not None:
            line += f"{row['fraction_of_limit']:10.0%}"
        lines.append(line)
    medians = {row["name"]: row["median_s"] for row in found}
    for name, plain in PLAIN.items():
        if plain in medians:
            ratio = medians[plain] / medians[name]
            lines.append(f"{name}: {ratio:.2f} times as fast as {plain}")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Prints a table, or with `--json` one object a line."""
    logging.set_verbosity(logging.WARNING)
    try:
        names = _names(arguments)
        config = _config()
        threads = _threads(flags.FLAGS.threads)
        choose_backend_for(config.tasks)
        with contextlib.ExitStack() as stack:
            product = functools.partial(MatrixProduct, config.precision)
            product = stack.enter_context(Worker(product))
            timed = parts(
                names, config, flags.FLAGS.episodes, stack, flags.FLAGS.plain
            )
            machine = product.spec
            seconds = measure(timed, product, flags.FLAGS.reps)
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    gflop = {name: part.gflop for name, part in timed.items()}
    found = rows(
        seconds,
        {"matrix": MatrixProduct.gflop, **gflop},
        config.precision,
        threads,
    )
    if flags.FLAGS.json:
        print("\n".join(json.dumps(row) for row in found))
        return
    print(f"{machine}, {threads} threads, {config.precision}")
    print(table(found))


def _names(given: list[str]) -> list[str]:
    """Which parts to time, each once."""
    unknown = sorted(set(given) - set(NAMES))
    if unknown:
        raise ValueError(
            f"There is no part {', '.join(unknown)}; there are "
            f"{', '.join(NAMES)}."
        )
    if flags.FLAGS.all:
        return list(NAMES)
    if not given:
        raise ValueError(
            f"Name what to time, some of {', '.join(NAMES)}, or give --all."
        )
    if flags.FLAGS.plain and not set(given) & set(PLAIN):
        raise ValueError(f"--plain: is for {' and '.join(PLAIN)}.")
    return given


def _config() -> Config:
    """The sizes that the flags ask for."""
    config = config_flags.read()
    batch, length = config.batch_shape
    config = dataclasses.replace(
        config,
        batch_shape=(
            flags.FLAGS.batch or batch,
            flags.FLAGS.length or length,
        ),
        planner_amount=flags.FLAGS.candidates or config.planner_amount,
    )
    validate(config)
    return config


def _threads(count: int | None) -> int:
    """Leaves this process and those it starts so many cores."""
    most = cores()
    if count is None:
        return most
    if count > most:
        raise ValueError(f"--threads={count}: this machine has {most} cores")
    # Before TensorFlow is imported, which then makes so many threads.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    return count


def define_flags() -> None:
    """The flags of this command; those of a Config among them."""
    config_flags.define()
    for name, text in (
        ("batch", "Chunks in a batch; replaces that of --batch_shape."),
        ("length", "Rows of a chunk, likewise."),
        ("candidates", "Short for --planner_amount."),
        ("threads", "Cores to use; by default all."),
    ):
        flags.DEFINE_integer(name, None, text, lower_bound=1)
    flags.DEFINE_integer("reps", 5, "Repetitions.", lower_bound=1)
    flags.DEFINE_integer(
        "episodes", 20, "Episodes that replay draws from.", lower_bound=1
    )
    flags.DEFINE_boolean("all", False, "Times every part.")
    flags.DEFINE_boolean(
        "plain", False, "Update and plan as a plain Keras graph, too."
    )
    flags.DEFINE_boolean("json", False, "One JSON object a line.")


if __name__ == "__main__":
    define_flags()
    command.run(main, arguments=True)
