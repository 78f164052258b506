"""What the soak test calls growth."""

import os

import numpy as np

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
