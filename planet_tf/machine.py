"""What a run computes on, recorded beside it. Imports no TensorFlow."""

import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess

from planet_tf import __version__

_PACKAGES = ("tensorflow", "tensorflow-probability", "dm_control", "mujoco")

# Microseconds of a container's processes in a period of so many: version 2 of
# cgroups, then 1.
_QUOTAS = [
    ("/sys/fs/cgroup/cpu.max",),
    (
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    ),
]


def record(path: pathlib.Path, updates: int, gpus: list[str]) -> None:
    """Adds a line of JSON to a file, for one start of a run.

    Args:
        path: The file; made if missing.
        updates: At which the run starts or continues.
        gpus: Names of the GPUs that are used.

    Raises:
        OSError: The disk is full, say.
    """
    now = datetime.datetime.now(datetime.UTC)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    line = {
        "started": now.isoformat(timespec="seconds"),
        "updates": updates,
        "planet_tf": __version__,
        "commit": commit(),
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": gpus,
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            line[package] = importlib.metadata.version(package)
    with open(path, "a") as file:
        file.write(json.dumps(line) + "\n")


def cores() -> int:
    """Cores that this process may keep busy; a container's may be fewer."""
    count = len(os.sched_getaffinity(0))
    for files in _QUOTAS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit.
            text = " ".join(pathlib.Path(file).read_text() for file in files)
            quota, period = map(int, text.split())
            if quota > 0:  # -1 is none either.
                count = min(count, math.ceil(quota / period))
    return count


def processor() -> str:
    """The processor's name, where Linux tells."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "CPU"


def commit() -> str | None:
    """Git's commit of this code, "-dirty" after it if files were changed."""
    root = pathlib.Path(__file__).parent.parent
    # Installed, it may lie within a repository of something else.
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(
            [*command, "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
