"""Learning from another run's episodes, as experiments do."""

import dataclasses

import numpy as np
import pytest

from planet_tf.tools.replay import Replay
from scripts import train_offline
from tests import runs

eager = pytest.fixture(autouse=True)(runs.eager)


def _episodes(logdir, split, rows):
    rng = np.random.default_rng(0)
    Replay(logdir / f"{split}_episodes").add(
        {
            # A background that differs from pixel to pixel.
            "image": np.tile(
                rng.integers(0, 256, [1, 64, 64, 3], np.uint8), [rows, 1, 1, 1]
            ),
            "action": rng.uniform(-1, 1, [rows, 2]).astype(np.float32),
            "reward": np.ones(rows, np.float32),
        },
        "cup_catch",
    )


def test_scores_while_it_learns(tmp_path, capsys):
    """Held-out scores, of a model that starts from the mean image."""
    for split in ("train", "test"):
        _episodes(tmp_path, split, 21)  # Shorter than a test's sequences.
    config = dataclasses.replace(runs.TINY, center_images=True)
    train_offline.compare(config, str(tmp_path), 0.2, 0.1)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["seconds", "updates", "ms"]
    scores = [line.replace(",", "").split() for line in lines]
    updates = [int(score[1]) for score in scores]
    assert 1 <= len(scores) <= 2 and updates == sorted(set(updates))
    # Without the background, an untrained model is off by hundreds of nats.
    assert float(scores[0][3]) == pytest.approx(-11_292.4, abs=20)


def test_missing_episodes_are_named(tmp_path):
    _episodes(tmp_path, "train", 60)
    with pytest.raises(ValueError, match="test_episodes holds 0 episodes"):
        train_offline.compare(runs.TINY, str(tmp_path), 1, 1)
