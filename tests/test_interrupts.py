"""Signals that wait, and signals that do not."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from planet_tf.tools.interrupts import undisturbed


@pytest.fixture
def interruptible():
    """A background job of a shell starts with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_signals_wait(interruptible):
    """Ctrl-C while an episode is written must not lose it."""
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _run(body, *prefix):
    """What a process prints until it ends, and how it ends."""
    result = subprocess.run(
        [*prefix, sys.executable, "-c", _code(body)],
        capture_output=True,
        text=True,
        preexec_fn=_without_nohup,
    )
    return result.stdout, result.returncode


def _without_nohup():
    """Which the tests may have been started with."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _code(body):
    return (
        "import os, signal, threading, time\n"
        "from planet_tf.tools.interrupts import stop_in_order, undisturbed\n"
        "def interrupt(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"stop_in_order()\n{body}\n"
        "time.sleep(60)\nprint('still here')"
    )


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_what_else_stops_a_run_waits_too(name):
    output, status = _run(
        "try:\n"
        "    with undisturbed():\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        print('done', flush=True)\n"
        "except KeyboardInterrupt as stop:\n    os._exit(stop.args[0])"
    )
    assert (output, status) == ("done\n", signal.Signals[name])


def test_a_terminal_that_closes():
    """Nothing can be printed then, and a run is saved all the same."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, sys, termios\n"
            "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
            + _code(
                "try:\n    print('ready', flush=True)\n    time.sleep(60)\n"
                "except KeyboardInterrupt as stop:\n"
                "    print('saving', flush=True)\n"
                "    sys.exit(128 + stop.args[0])"
            ),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_without_nohup,
    )
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    os.close(ours)
    assert process.wait(60) == 129


def test_nohup_lets_a_run_go_on():
    output, status = _run(
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('goes on', flush=True)\nos._exit(0)",
        "nohup",
    )
    assert (output, status) == ("goes on\n", 0)


def test_an_interrupt_that_waited_counts_once():
    output, status = _run(
        "try:\n"
        "    with undisturbed():\n        interrupt()\n"
        "except KeyboardInterrupt:\n"
        "    time.sleep(1)\n    print('saved', flush=True)\n"
        "    os._exit(7)"
    )
    assert (output, status) == ("saved\n", 7)


@pytest.mark.parametrize(
    "body",
    [
        # A write that takes too long.
        "with undisturbed():\n    interrupt()\n    interrupt()\n"
        "    time.sleep(60)",
        # A run that is being saved; what a scheduler adds changes nothing.
        "try:\n    interrupt()\n"
        "except KeyboardInterrupt:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('saving', flush=True)\n"
        "    interrupt()",
        # One operation of a library, during which no handler is called.
        "import hashlib\n"
        "threading.Timer(0.2, interrupt).start()\n"
        "threading.Timer(0.4, interrupt).start()\n"
        "hashlib.pbkdf2_hmac('sha512', b'', b'', 100_000_000)",
    ],
)
def test_a_second_interrupt_ends_at_once(body):
    """Whatever is going on; someone is waiting."""
    output, status = _run(body)
    assert status in (128 + signal.SIGINT, -signal.SIGINT)
    assert "still here" not in output
    assert ("saving" in output) == ("saving" in body)
