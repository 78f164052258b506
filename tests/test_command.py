"""What all commands do with arguments and errors."""

import os
import subprocess
import sys

import pytest

from planet_tf import command


@pytest.mark.parametrize(
    "name",
    [
        "planet_tf.doctor",
        "planet_tf.evaluate",
        "planet_tf.train",
        "scripts.compare_rendering",
        "scripts.explore_seeds",
    ],
)
def test_an_argument_too_many_is_refused(name):
    """It may be a flag without its dashes, which would have no effect."""
    result = subprocess.run(
        [sys.executable, "-m", name, "seed=1"], capture_output=True, text=True
    )
    assert result.returncode == 2 and not result.stdout
    assert result.stderr == "Unknown arguments: seed=1\n"


def _run(code, *arguments):
    code = f"from planet_tf import command\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True
    )


def test_arguments_for_those_that_take_some():
    result = _run("command.run(print, arguments=True)", "update", "plan")
    assert result.stdout == "['update', 'plan']\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("what"), 2),
        (FileNotFoundError("what"), 2),
        (RuntimeError("what"), 1),
    ],
)
def test_errors_are_one_line(capsys, error, status):
    with pytest.raises(SystemExit) as found, command.reported():
        raise error
    assert found.value.code == status
    assert capsys.readouterr() == ("", "what\n")


def test_mistakes_of_the_code_keep_their_traceback():
    with pytest.raises(TypeError), command.reported():
        raise TypeError


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.argv.append('--help')\ncommand.run(print)",
        "command.run(lambda: print('what'))",
        "def main():\n    with command.reported():\n"
        "        print('what', flush=True)\ncommand.run(main)",
    ],
)
def test_a_reader_that_has_left_is_no_traceback(code):
    """`... | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-c", f"from planet_tf import command\n{code}"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert result.returncode == 141 and not result.stderr, result.stderr


def test_ctrl_c_is_no_traceback():
    result = _run(
        "import signal\ncommand.run(lambda: signal.raise_signal(signal.SIGINT))"
    )
    assert result.returncode == 130 and not result.stderr
