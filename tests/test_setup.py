"""What make and setup.sh do before they install anything."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def clone(tmp_path):
    """One whose setup is noted alone, and done for CPU and GPU."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "scripts" / "setup.sh").write_text("echo set up $PYTHON\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for device in ("cpu", "gpu"):
        (tmp_path / ".venv" / f"ready-{device}").touch()
    return tmp_path


def _make(folder, *arguments):
    result = subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True
    )
    return result.stdout + result.stderr


def test_a_python_that_has_gone_is_set_up_again(clone):
    assert "set up" not in _make(clone, "setup")
    python = clone / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "set up" in _make(clone, "setup")
    assert "set up a b" in _make(clone, "setup", "PYTHON=a b")


def test_folders_with_spaces(clone):
    found = _make(clone, "--dry-run", "tensorboard", "LOGDIR=/tmp/a b")
    assert "--logdir='/tmp/a b'" in found
    # TensorBoard expands it.
    assert "--logdir='~/planet_tf'" in _make(clone, "--dry-run", "tensorboard")


def test_a_python_in_a_folder_with_spaces(tmp_path):
    """It is taken; making .venv fails, as it is none."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    python = tmp_path / "a b" / "python"
    python.parent.mkdir()
    python.write_text(
        '#!/bin/sh\n[ "$1" != --version ] || echo found\n[ "$1" != -m ]\n'
    )
    python.chmod(0o755)
    result = subprocess.run(
        ["bash", "scripts/setup.sh"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "Making .venv with found\n", result.stderr
