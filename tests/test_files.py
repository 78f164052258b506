"""Files that are complete or not there, and signals that wait."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from planet_tf.tools.files import atomic_write, expanded, undisturbed


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Readers must never see a part."""
    path = tmp_path / "x"
    with atomic_write(path) as file:
        file.write(b"old")
    with pytest.raises(KeyError), atomic_write(path) as file:
        file.write(b"ne")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.fixture
def interruptible():
    """A background job of a shell starts with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_home_is_expanded_where_there_is_one():
    assert expanded("~/x") == pathlib.Path.home() / "x"
    assert expanded("~nobody-of-that-name/x").parts[0] == "~nobody-of-that-name"


def test_signals_wait(interruptible):
    """Ctrl-C while an episode is written must not lose it."""
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "body",
    [
        # A write that takes too long.
        "with files.undisturbed():\n    interrupt()\n    interrupt()",
        # A run that is being saved; what a scheduler adds changes nothing.
        "signal.signal(signal.SIGINT, train._stop)\n"
        "try:\n    interrupt()\n"
        "except KeyboardInterrupt:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('saving', flush=True)\n"
        "    interrupt()",
    ],
)
def test_a_second_interrupt_ends_at_once(body):
    """Whatever is going on; someone is waiting."""
    code = (
        "import os, signal\n"
        "from planet_tf import train\n"
        "from planet_tf.tools import files\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupt(): os.kill(os.getpid(), signal.SIGINT)\n"
        f"{body}\nprint('still here')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == -signal.SIGINT
    assert "still here" not in result.stdout
    assert ("saving" in result.stdout) == ("saving" in body)
