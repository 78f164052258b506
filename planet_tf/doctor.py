"""Checks an installation: `python -m planet_tf.doctor [--config=cpu ...]`.

Takes the flags of `planet_tf.train`, whose run is what memory and disk have to
suffice for. Prints a line for each check, and one of advice for each thing
that is wrong; the exit status is then 1. Whatever may crash or hang runs in a
process of its own, and this one imports neither TensorFlow nor a simulator.
Where it cannot even read flags, it says which packages that takes.
"""

from __future__ import annotations  # Some may be of what cannot be imported.

import contextlib
import importlib.metadata
import math
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from planet_tf.control.tasks import EPISODE_FRAMES, get_task
from planet_tf.hardware import (
    TENSORFLOW,
    Finding,
    cpu,
    graphics,
    nvidia_driver,
    run_python,
    tensorflow,
    tested,
    unusable,
)
from planet_tf.tools.files import expanded

try:
    from absl import flags

    from planet_tf import command, config_flags, totals
    from planet_tf.config import Config
    from planet_tf.tools.replay import size_when_full
except ImportError:
    if __name__ != "__main__" or not unusable():
        raise

PYTHONS = ((3, 11), (3, 14))  # TensorFlow has no builds for others.
OPTIONAL = (
    "pytest pytest-xdist ruff hypothesis psutil gymnasium av".split()
)  # Not needed to train.

# Rough sizes, to see whether a machine is of the right order.
_PROCESS = 1.5 * 2**30  # Bytes of memory: TensorFlow and a world.
_FRAME = 2**20  # Activations for a frame of a batch, with conv_depth 32.
_ON_DISK = 2_000  # A compressed frame.
_VIDEOS = 3 * 2**20  # GIFs of a test, in files and in TensorBoard.

# Limit and use of a container's memory: version 2 of cgroups, then 1.
_CGROUPS = [
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
]


def main() -> None:
    """Prints all findings."""
    with command.reported():
        config = config_flags.read()
    report(findings(config, expanded(flags.FLAGS.logdir)))


def report(found: Iterable[Finding]) -> NoReturn:
    """Prints findings, and ends with status 1 if something is wrong."""
    wrong = 0
    for finding in found:
        mark = "WRONG" if finding.advice else "ok"
        print(f"{mark:5}  {finding.name:10}  {finding.text}")
        if finding.advice:
            wrong += 1
            print(f"{'':19}-> {finding.advice}")
        sys.stdout.flush()
    print(f"{wrong} wrong" if wrong else "All is well.")
    sys.exit(bool(wrong))


def findings(config: Config, folder: pathlib.Path) -> Iterator[Finding]:
    """Runs all checks, one after another."""
    yield from packages()
    driver = nvidia_driver()
    if driver:
        yield driver
    yield from tensorflow(run_python(TENSORFLOW), driver is not None)
    yield cpu(pathlib.Path("/proc/cpuinfo").read_text())
    yield from graphics(config, driver is not None)
    yield memory(config, free_memory())
    yield disk(config, folder)


def packages() -> Iterator[Finding]:
    """Runs the checks that need no package but Python's own."""
    yield python(sys.version_info[:2])
    yield versions(tested(), _installed)
    yield from unusable()


def python(version: tuple[int, int]) -> Finding:
    """Whether TensorFlow has builds for this Python."""
    text = "Python {}.{}".format(*version)
    if PYTHONS[0] <= version < PYTHONS[1]:
        return Finding("python", text)
    return Finding(
        "python", text, "Use Python 3.11, 3.12 or 3.13, in a new environment."
    )


def versions(
    pins: Mapping[str, str], installed: Callable[[str], str | None]
) -> Finding:
    """Whether the packages are those that are tested together."""
    found = {name: installed(name) for name in pins}
    other = {
        name: version
        for name, version in found.items()
        if version != pins[name] and (version or name not in OPTIONAL)
    }
    if not other:
        return Finding("versions", f"{len(pins)} packages, as tested")
    text = ", ".join(f"{k} {v or 'missing'}" for k, v in other.items())
    needed = " ".join(f"{name}=={pins[name]}" for name in other)
    note = ""
    if {"mujoco", "dm_control"} & other.keys():
        note = " (mujoco and dm_control only work in matching pairs)"
    return Finding("versions", text, f"pip install {needed}{note}")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def free_memory() -> float:
    """Bytes of memory that this process may still use; NaN if unknown."""
    limits = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        text = pathlib.Path("/proc/meminfo").read_text()
        available = re.search(r"MemAvailable:\s*(\d+) kB", text)
        limits.append(1024.0 * int(available[1]))
    for limit, used in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit.
            allowed = int(pathlib.Path(limit).read_text())
            limits.append(float(allowed - int(pathlib.Path(used).read_text())))
    return min(limits, default=math.nan)


def memory(config: Config, free: float) -> Finding:
    """Whether the run of `config` fits into so many bytes."""
    batch, length = config.batch_shape
    need = _PROCESS + batch * length * _FRAME * config.conv_depth / 32
    if config.replay_storage == "memory":
        need += size_when_full(_episodes(config), _decisions(config))
    return _enough(
        "memory",
        config,
        need,
        free,
        "End other programs, give --replay_storage=disk, or lower "
        "--batch_shape or --max_steps (all episodes are kept).",
    )


def disk(config: Config, folder: pathlib.Path) -> Finding:
    """Whether the results of `config` fit into a folder."""
    there = folder
    # A link to nothing is there; what is below a closed folder is not.
    while not os.path.lexists(there):
        there = there.parent
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            "disk",
            f"{there} cannot be written to",
            "Choose another folder with --logdir.",
        )
    episodes = _episodes(config)
    clock = totals.schedule(config)
    # So many have pictures, see `Schedule.pictures_due`.
    tests = min(100, clock.total_updates // clock.epoch_updates)
    need = episodes * _decisions(config) * _ON_DISK + tests * _VIDEOS
    if config.replay_storage == "disk":
        need += size_when_full(episodes, _decisions(config))
    return _enough(
        "disk",
        config,
        need,
        float(shutil.disk_usage(there).free),
        f"Free some space in {there}, or choose another folder with --logdir.",
    )


def _enough(
    name: str, config: Config, need: float, free: float, advice: str
) -> Finding:
    text = (
        f"{free / 2**30:.1f} GiB free; {_episodes(config)} episodes need "
        f"about {need / 2**30:.1f}"
    )
    return Finding(name, text, advice if free < need else "")


def _episodes(config: Config) -> int:
    """Episodes of a run, or as many as the published runs have."""
    return min(sum(totals.episodes(config)), 1000)


def _decisions(config: Config) -> float:
    """Decisions in an episode, the mean over tasks."""
    lengths = [
        EPISODE_FRAMES // (config.action_repeat or get_task(name).action_repeat)
        for name in config.tasks
    ]
    return sum(lengths) / len(lengths)


def define_flags() -> None:
    """The flags of this command."""
    config_flags.define()
    flags.DEFINE_string("logdir", "~/planet_tf", "Folder for results.")


if __name__ == "__main__":
    if unusable():
        report(packages())
    define_flags()
    command.run(main)
