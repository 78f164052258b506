r"""Works through a folder of runs, beside others that do the same.

    python -m scripts.run_many --folder=~/runs --num_runs=5 -- \
        python -m planet_tf.train --seed={number} --logdir={folder}

Start it as often as there is room, on any machines that share the folder. Each
run, <folder>/00001 and so on, is worked on by one of them at a time:

    CLAIM.1   made by whoever works on it, touched while it is alive
    CLAIM.2   made by whoever takes over when CLAIM.1 has not been touched
    DONE      the command ended with status 0
    FAIL      it ended otherwise; remove the file to have it tried again

A command that ends with status 75 (EX_TEMPFAIL) has found its run in use: by
the command of a worker that is suspended and seems dead, or by somebody who
started it by hand. The run is then tried again later.

Deviates from planet: there, a claim is a file that everybody may overwrite,
so that two workers can get the same run, and clocks have to agree. Here, a
claim is made with a number that no other file has, which succeeds for one
worker alone, and times are those of the shared folder. A worker that finds
itself replaced stops at once.
"""

import contextlib
import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from absl import flags

from planet_tf import command
from planet_tf.tools.files import expanded

# What a command that was told to stop ends with: a run is neither done then nor
# has it failed.
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_STOPPED = {status for n in _SIGNALS for status in (128 + n, -n)}
REPLACED = 3  # Exit status of a worker whose run was taken over.


class Claim:
    """The right to work on a run, for as long as it is touched.

    Args:
        folder: Of the run.
        period: Seconds between touches.
    """

    def __init__(self, folder: pathlib.Path, period: float):
        self._folder = folder
        self._period = period
        self._path = None
        self._over = threading.Event()

    def take(self) -> bool:
        """Whether the run is ours now: new, or left by a dead worker."""
        if finished(self._folder):
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        newest = _newest(self._folder)
        if newest and self._age(newest) < 4 * self._period:
            return False
        number = _number(newest) + 1 if newest else 1
        path = self._folder / f"CLAIM.{number}"
        try:
            # Only one of many can make a file that must not exist.
            with path.open("x") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}\n")
        except FileExistsError:
            return False
        self._path = path
        threading.Thread(target=self._keep, daemon=True).start()
        # It may have been finished between the first look and the claim.
        if finished(self._folder):
            self.release()
            return False
        return True

    def release(self) -> None:
        """Lets others take over at once."""
        self._over.set()
        os.utime(self._path, (0, 0))

    def withdraw(self) -> None:
        """Leaves the run to whoever was replaced, and may yet wake up."""
        self._over.set()
        self._path.unlink()

    def _keep(self) -> None:
        """Touches the claim until it is released."""
        while not self._over.wait(self._period):
            # A shared folder fails now and then; the next time will do.
            with contextlib.suppress(OSError):
                replaced = _newest(self._folder) != self._path
                if replaced and not self._over.is_set():
                    print(f"{self._folder} was taken over.", file=sys.stderr)
                    os._exit(REPLACED)  # Takes the command along.
                os.utime(self._path)

    def _age(self, path: pathlib.Path) -> float:
        """Seconds since it was touched, by the clock of the shared folder."""
        probe = self._folder / f"clock.{socket.gethostname()}.{os.getpid()}"
        probe.write_text("")
        now = probe.stat().st_mtime
        probe.unlink()
        try:
            return now - path.stat().st_mtime
        except FileNotFoundError:  # Withdrawn a moment ago.
            return 0.0


def finished(folder: pathlib.Path) -> bool:
    """Whether nobody has to work on a run any more."""
    return (folder / "DONE").exists() or (folder / "FAIL").exists()


def work(folder: pathlib.Path, runs: int, period: float, command: list) -> int:
    """Works on whatever is free until all runs are finished.

    Returns:
        How many have failed, whoever worked on them.
    """
    folders = {i: folder / f"{i:05d}" for i in range(1, runs + 1)}
    while unfinished := [i for i in folders if not finished(folders[i])]:
        random.shuffle(unfinished)  # So that workers rarely meet.
        for number in unfinished:
            claim = Claim(folders[number], period)
            if claim.take() and _run(claim, folders[number], number, command):
                break
        else:
            time.sleep(period)  # Others are at work; they may die.
    return sum((path / "FAIL").exists() for path in folders.values())


def _run(
    claim: Claim, folder: pathlib.Path, number: int, command: list
) -> bool:
    """Runs the command on a run, and says how it ended.

    Returns:
        False if it could do nothing, because the run is in use.
    """
    command = [
        part.replace("{folder}", str(folder)).replace("{number}", str(number))
        for part in command
    ]
    print(f"Run {number}", flush=True)
    done_with = claim.release
    try:
        process = subprocess.Popen(command, preexec_fn=_die_with_parent)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            # A second one would end this process, and with it a run that saves.
            for number in (signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            process.terminate()
            process.wait()
            raise
        if status in _STOPPED:
            raise KeyboardInterrupt  # The whole job is ending.
        if status == 0:
            (folder / "DONE").touch()
        elif status == os.EX_TEMPFAIL:
            done_with = claim.withdraw
        else:
            (folder / "FAIL").write_text(f"status {status}: {command}\n")
    finally:
        done_with()
    return status != os.EX_TEMPFAIL


def _die_with_parent() -> None:
    """In the child: ends it with this process, even if that is killed."""
    death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
    claims = (x for x in folder.glob("CLAIM.*") if x.suffix[1:].isdecimal())
    return max(claims, key=_number, default=None)


def _number(claim: pathlib.Path) -> int:
    return int(claim.suffix[1:])


def main(program: list[str]) -> None:
    """Works, and ends with status 1 if any run has failed."""
    if not program or not shutil.which(program[0]):
        print("Name a program after --, see --help.", file=sys.stderr)
        sys.exit(2)
    for number in (signal.SIGHUP, signal.SIGTERM):
        # nohup starts it with SIGHUP ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    folder = expanded(flags.FLAGS.folder)
    try:
        failed = work(
            folder, flags.FLAGS.num_runs, flags.FLAGS.ping_every, program
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"{folder}: {error}", file=sys.stderr)
        sys.exit(2)
    failures = [str(x) for x in sorted(folder.glob("*/FAIL"))]
    done = len([*folder.glob("*/DONE")])
    print(f"{done} of {flags.FLAGS.num_runs} runs are done")
    if failures:
        print("Failed; remove these to try again:", *failures)
    sys.exit(bool(failed))


if __name__ == "__main__":
    flags.DEFINE_string("folder", None, "Of all runs.", required=True)
    flags.DEFINE_integer(
        "num_runs",
        None,
        "How many there are.",
        lower_bound=1,
        upper_bound=99_999,  # Folders have five digits.
        required=True,
    )
    flags.DEFINE_float(
        "ping_every",
        30.0,
        "Seconds between signs of life; after four times as long without one, "
        "a worker counts as dead. The same for all.",
    )
    flags.register_validator(  # Bounds would let NaN pass.
        "ping_every",
        lambda seconds: 0.1 <= seconds <= 86_400,
        "must be from 0.1 to 86400 seconds",
    )
    command.run(main, arguments=True)
