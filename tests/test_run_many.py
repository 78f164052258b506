"""Many workers on one folder of runs: each run is done once, by somebody."""

import collections
import errno
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from scripts import run_many

ROOT = pathlib.Path(__file__).parent.parent
RUNS = 40


def _start(folder, *command, runs=RUNS, period=2.0, flags=()):
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.run_many", f"--folder={folder}"]
        + [f"--num_runs={runs}", f"--ping_every={period}", *flags]
        + ["--", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_with_signals,
    )


def _with_signals():
    """Ignored if the tests run in the background of a shell, or by nohup."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_a_score_of_workers_does_each_run_once(tmp_path):
    log = tmp_path / "log"
    # A short line is appended as a whole.
    command = _script(
        tmp_path / "run", f'echo "$1 $PPID" >> {log}\nsleep 0.1\n'
    )
    folder = tmp_path / "runs"
    workers = [_start(folder, command, "{number}") for _ in range(20)]
    for worker in workers:
        output, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0, output
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(int(run) for run, _ in lines) == list(range(1, RUNS + 1))
    assert len({pid for _, pid in lines}) > 1, "one worker did it all"
    assert len(list(folder.glob("*/DONE"))) == RUNS
    assert not list(folder.glob("*/FAIL"))


def test_runs_of_dead_workers_are_taken_over(tmp_path):
    """Half of the workers are killed at their first run, amid it."""
    log = tmp_path / "log"
    killer = _script(
        tmp_path / "killer", f"echo $1 >> {log}\nkill -9 $PPID\nexec sleep 60\n"
    )
    command = _script(tmp_path / "run", f"echo $1 >> {log}\n")
    folder = tmp_path / "runs"
    dying = [_start(folder, killer, "{number}", runs=12) for _ in range(4)]
    for worker in dying:
        worker.communicate(timeout=120)
        assert worker.returncode == -signal.SIGKILL
    workers = [_start(folder, command, "{number}", runs=12) for _ in range(4)]
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, output
    times = collections.Counter(log.read_text().split())
    assert sorted(times.values()) == 8 * [1] + 4 * [2]
    assert len(list(folder.glob("*/DONE"))) == 12


def test_failures_are_said_and_not_repeated(tmp_path):
    command = _script(tmp_path / "run", "[ $1 != 2 ]\n")
    for _ in range(2):
        worker = _start(tmp_path / "runs", command, "{number}", runs=3)
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 1
    # Nothing was left to do.
    assert "Run " not in output and output.startswith("2 of 3 runs are done")
    assert output.endswith("00002/FAIL\n")
    assert (tmp_path / "runs" / "00002" / "FAIL").exists()
    assert not (tmp_path / "runs" / "00002" / "DONE").exists()
    assert len(list(tmp_path.glob("runs/*/DONE"))) == 2


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]
)
def test_a_stopped_worker_leaves_its_run_to_others(tmp_path, number):
    started = tmp_path / "started"
    command = _script(tmp_path / "run", f"touch {started}\nexec sleep 60\n")
    worker = _start(tmp_path / "runs", command, runs=1)
    while not started.exists():
        time.sleep(0.05)
    worker.send_signal(number)
    worker.communicate(timeout=60)
    assert worker.returncode == 130
    folder = tmp_path / "runs" / "00001"
    assert not run_many.finished(folder)
    claim = run_many.Claim(folder, period=60.0)  # At once, not in minutes.
    assert claim.take()
    assert not run_many.Claim(folder, period=60.0).take()
    claim.release()


def test_a_second_signal_waits_for_the_run_to_save(tmp_path):
    """`timeout` and schedulers may send theirs twice."""
    started, saved = tmp_path / "started", tmp_path / "saved"
    command = _script(
        tmp_path / "run",
        f"trap 'sleep 2; touch {saved}; exit 1' TERM\ntouch {started}\n"
        "while true; do sleep 0.1; done\n",
    )
    worker = _start(tmp_path / "runs", command, runs=1)
    while not started.exists():
        time.sleep(0.05)
    worker.terminate()
    time.sleep(0.7)
    worker.terminate()
    worker.communicate(timeout=60)
    assert worker.returncode == 130 and saved.exists()


def test_a_claim_is_kept_though_the_folder_fails_once(tmp_path, monkeypatch):
    failures, touched = [OSError(errno.ESTALE, "Stale")], threading.Event()

    def flaky(path):
        if failures:
            raise failures.pop()
        touched.set()

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", flaky)
        claim = run_many.Claim(tmp_path / "run", 0.01)
        assert claim.take()
        assert touched.wait(20)
    claim.release()


def test_a_claim_may_vanish_while_it_is_looked_at(tmp_path, monkeypatch):
    """Whoever withdrew it has found the run in use."""
    monkeypatch.setattr(run_many, "_newest", lambda folder: folder / "CLAIM.1")
    assert not run_many.Claim(tmp_path / "run", 60.0).take()


def test_a_replaced_worker_stops_at_once(tmp_path):
    """One that was suspended must not go on beside its successor."""
    started = tmp_path / "started"
    command = _script(tmp_path / "run", f"echo $$ > {started}\nexec sleep 60\n")
    worker = _start(tmp_path / "runs", command, runs=1, period=0.2)
    while not started.exists() or not started.read_text():
        time.sleep(0.05)
    (tmp_path / "runs" / "00001" / "CLAIM.2").touch()
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == run_many.REPLACED
    assert "taken over" in output
    deadline = time.time() + 30
    while os.path.exists(f"/proc/{started.read_text().strip()}"):
        assert time.time() < deadline, "its command goes on"
        time.sleep(0.05)


def test_a_run_in_use_is_tried_again_and_has_not_failed(tmp_path):
    """A suspended worker seems dead, but its command holds the run's lock."""
    log, first = tmp_path / "log", tmp_path / "first"
    command = tmp_path / "run"
    command.write_text(
        f"""#!{sys.executable}
import fcntl, pathlib, sys, time
folder, log, first = map(pathlib.Path, sys.argv[1:])
lock = (folder / ".lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    log.open("a").write("refused\\n")
    sys.exit(75)
if not first.exists():
    first.touch()
    time.sleep(600)
"""
    )
    command.chmod(0o755)
    arguments = [tmp_path / "runs", str(command), "{folder}", log, first]
    suspended = _start(*arguments, runs=1, period=0.2)
    while not first.exists():
        time.sleep(0.05)
    suspended.send_signal(signal.SIGSTOP)
    try:
        other = _start(*arguments, runs=1, period=0.2)
        while not log.exists() or len(log.read_text().split()) < 3:
            assert other.poll() is None, other.communicate()
            time.sleep(0.05)
        folder = tmp_path / "runs" / "00001"
        assert not run_many.finished(folder)
        # Were it to wake up, it would not see itself replaced.
        assert len(list(folder.glob("CLAIM.*"))) <= 2
    finally:
        suspended.kill()
        suspended.communicate(timeout=60)
    output, _ = other.communicate(timeout=60)
    assert other.returncode == 0, output
    assert (folder / "DONE").exists() and not (folder / "FAIL").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--num_runs=0", "num_runs"),
        ("--num_runs=x", "num_runs"),
        ("--ping_every=nan", "ping_every"),
        ("--ping_every=0", "ping_every"),
        ("--num_run=3", "did you mean num_runs"),
    ],
)
def test_bad_flags_are_refused_in_one_line(tmp_path, flag, message):
    worker = _start(tmp_path / "runs", "true", flags=[flag])
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert message in output and len(output.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_bad_commands_are_refused(tmp_path):
    for command in ([], ["no-such-program"]):
        worker = _start(tmp_path / "runs", *command)
        output, _ = worker.communicate(timeout=60)
        assert worker.returncode == 2
        assert "Name a program" in output
    assert not (tmp_path / "runs").exists()
