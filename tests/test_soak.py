"""What the soak test calls growth."""

import os
import subprocess
import sys

import numpy as np
import pytest

from scripts import soak


def _samples(**slopes):
    rows = []
    for i in range(40):
        noise = 1.0 if i % 7 == 0 else 0.0
        row = {"seconds": 60 * i, "episodes": i}
        for name in soak.ALLOWED:
            row[name] = 100.0 + noise + slopes.get(name, 0.0) * i
        rows.append(row)
    return rows


def test_growth_is_found_and_noise_is_not(capsys):
    assert soak.judge(_samples()) == []
    assert "medians by quarter" in capsys.readouterr().out
    (problem,) = soak.judge(_samples(memory_mib=2.0))
    assert problem == "memory_mib grew by 40.0"
    (problem,) = soak.judge(_samples(files=0.5))
    assert problem.startswith("files")
    assert soak.judge(_samples(memory_mib=-5.0)) == []  # Warming up.
    assert soak.judge(_samples()[:5]) == ["only 5 samples"]


def _soak(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "scripts.soak", *arguments],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "flag", ["--every=-1", "--every=inf", "--minutes=nan", "--minutes=-1"]
)
def test_bad_flags_start_nothing(tmp_path, flag):
    result = _soak(f"--logdir={tmp_path / 'new'}", flag)
    assert result.returncode == 2 and flag[2:] in result.stderr
    assert result.stderr.count("\n") == 1 and not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_new(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "file" / "new"):
        result = _soak(f"--logdir={folder}")
        assert result.returncode == 2 and "Name a new folder" in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_run_that_cannot_begin_says_why(tmp_path):
    result = _soak(f"--logdir={tmp_path / 'new'}", "--every=0.1", "--", "--sed")
    assert result.returncode == 1 and not result.stderr
    assert "status 2: There is no flag --sed" in result.stdout


def test_measures_this_process(tmp_path):
    """Without what episodes take in memory."""
    before = soak.measure(os.getpid(), tmp_path)
    assert before["memory_mib"] > 10 and before["processes"] >= 1
    with open(os.devnull), open(os.devnull):
        assert soak.measure(os.getpid(), tmp_path)["files"] == (
            before["files"] + 2
        )
    (tmp_path / "train_episodes").mkdir()
    episode = {
        "image": np.zeros([256, 64, 64, 3], np.uint8),
        "reward": np.zeros([256], np.float64),
    }
    for name in "ab":
        np.savez_compressed(tmp_path / f"train_episodes/{name}.npz", **episode)
    after = soak.measure(os.getpid(), tmp_path)
    assert after["episodes_mib"] == 2 * (3 + 256 * 4 / 2**20)
    assert after["episodes"] == 2
