"""Signals that wait, and signals that do not."""

import os
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


def _run(body):
    """What a process prints until it ends, and how it ends."""
    code = (
        "import os, signal, threading, time\n"
        "from planet_tf.tools.interrupts import stop_in_order, undisturbed\n"
        "def interrupt(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"stop_in_order()\n{body}\n"
        "time.sleep(60)\nprint('still here')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    return result.stdout, result.returncode


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
