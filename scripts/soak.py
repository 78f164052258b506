"""Trains for hours at small size and looks for anything that grows.

    python -m scripts.soak --minutes=120 --logdir=/tmp/soak [-- TRAIN_FLAGS]

Every few seconds, memory, open files, threads and processes of the run's
process tree are noted in `<logdir>/soak.csv`. At the end, the medians of the
second and the last quarter are compared; the first is for warming up. Memory
counts without the episodes, which stay in it on purpose. The exit status is 1
if anything grew, or if the run did not end in order.
"""

import csv
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil
from absl import flags

from planet_tf import command
from planet_tf.tools.files import expanded

# Everything runs often; the run has no end of its own.
SMALL = """
    --config=debug --task=cup_catch --max_steps=2000000000 --train_steps=1000
    --collect_every=100
""".split()
# Growth from the second quarter to the last that still counts as flat.
ALLOWED = {"memory_mib": 32.0, "files": 2.0, "threads": 2.0, "processes": 0.0}


def main(arguments: list[str]) -> None:
    """Trains, samples and judges."""
    # So that it does not leave the run behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logdir = expanded(flags.FLAGS.logdir)
    try:
        logdir.mkdir(parents=True)
    except OSError as error:
        print(
            f"--logdir={logdir}: {error.strerror}. Name a new folder, where "
            "you may write.",
            file=sys.stderr,
        )
        sys.exit(2)
    training = [sys.executable, "-m", "planet_tf.train", f"--logdir={logdir}"]
    with (logdir / "output.txt").open("w") as output:
        run = subprocess.Popen(
            [*training, *SMALL, *arguments], stdout=output, stderr=output
        )
        try:
            samples = sample(run, logdir)
        finally:
            run.send_signal(signal.SIGTERM)
            status = run.wait(timeout=300)
    problems = judge(samples)
    if status != 128 + signal.SIGTERM:
        problems.append(f"the run ended with status {status}: {_last(logdir)}")
    print("\n".join(problems) or "Flat.")
    sys.exit(bool(problems))


def _last(logdir: pathlib.Path) -> str:
    """The last thing that the run has said."""
    lines = (logdir / "output.txt").read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line), "it said nothing")


def sample(run: subprocess.Popen, logdir: pathlib.Path) -> list[dict]:
    """Watches a run for the given time, or until it ends."""
    samples = []
    started = time.monotonic()
    with (logdir / "soak.csv").open("w", newline="") as file:
        writer = None
        while time.monotonic() < started + 60 * flags.FLAGS.minutes:
            time.sleep(flags.FLAGS.every)
            if run.poll() is not None:
                break
            seconds = round(time.monotonic() - started)
            row = {"seconds": seconds, **measure(run.pid, logdir)}
            samples.append(row)
            writer = writer or csv.DictWriter(file, row)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
    return samples


def measure(pid: int, logdir: pathlib.Path) -> dict[str, float]:
    """What a process and its descendants use now."""
    memory = files = threads = processes = 0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            with process.oneshot():
                memory += process.memory_info().rss
                files += process.num_fds()
                threads += process.num_threads()
                processes += 1
        except psutil.NoSuchProcess:  # It ended meanwhile.
            continue
    paths = list(logdir.glob("*_episodes/*.npz"))
    held = len(paths) * _bytes(paths[0]) if paths else 0
    return {
        "memory_mib": (memory - held) / 2**20,
        "episodes_mib": held / 2**20,
        "files": files,
        "threads": threads,
        "processes": processes,
        "episodes": len(paths),
    }


def _bytes(path: pathlib.Path) -> int:
    """What an episode takes in memory."""
    with np.load(path) as file:
        return sum(
            array.size * (1 if array.dtype == np.uint8 else 4)
            for array in (file[name] for name in file)
        )


def judge(samples: list[dict[str, float]]) -> list[str]:
    """Prints a table of quarters; returns what grew, line by line."""
    if len(samples) < 8:
        return [f"only {len(samples)} samples"]
    quarter = len(samples) // 4
    parts = [samples[i * quarter : (i + 1) * quarter] for i in range(4)]
    problems = []
    print(f"{samples[-1]['seconds'] / 60:.0f} minutes; medians by quarter:")
    for name in samples[0]:
        medians = [statistics.median(x[name] for x in part) for part in parts]
        print(f"{name:14}", *(f"{median:10.1f}" for median in medians))
        growth = medians[3] - medians[1]
        if growth > ALLOWED.get(name, growth):
            problems.append(f"{name} grew by {growth:.1f}")
    return problems


if __name__ == "__main__":
    flags.DEFINE_float("minutes", 120.0, "How long to train.")
    flags.DEFINE_string("logdir", None, "New folder.", required=True)
    flags.DEFINE_float("every", 5.0, "Seconds between samples.")
    for name, most in (("minutes", 1e6), ("every", 3600.0)):
        flags.register_validator(  # Bounds would let NaN pass.
            name,
            lambda value, most=most: 0 < value <= most,
            f"must be above 0, and at most {most:.0f}",
        )
    command.run(main, arguments=True)
