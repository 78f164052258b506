"""Learning from another run's episodes, as experiments do."""

import dataclasses
import re
import types

import numpy as np
import pytest

from planet_tf.tools.replay import Replay
from planet_tf.training import evaluation
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
    out, err = capsys.readouterr()
    header, *lines = out.splitlines()
    assert "64 held-out sequences; rewards vary in 0 of them" in err
    assert header.split()[:3] == ["seconds", "updates", "ms"]
    scores = [line.replace(",", "").split() for line in lines]
    updates = [int(score[1]) for score in scores]
    assert 1 <= len(scores) <= 2 and updates == sorted(set(updates))
    # Without the background, an untrained model is off by hundreds of nats.
    assert float(scores[0][3]) == pytest.approx(-11_292.4, abs=20)


def test_values_stand_under_their_names(tmp_path, capsys, monkeypatch):
    for split in ("train", "test"):
        _episodes(tmp_path, split, 21)
    metrics = {
        "test/image": 1,
        "closed_loop/prior_image_log_prob": 2,
        "test/reward": 3,
        "test/kl": 4,
    }
    config = dataclasses.replace(runs.TINY, planner_horizon=7)
    horizon = config.planner_horizon
    curve = np.repeat([5.0, 9.0], [horizon, 45 - horizon])
    reward = np.random.default_rng(0).normal(size=[16, 50])
    seen = reward[:, 5:]
    ahead = reward.copy()  # Beyond the horizon, which does not count.
    near = reward[:, 5:10]
    ahead[:, 5:10] = near.mean() + 1.5 * near.std()
    ahead[:, 10] = -reward[:, 5 : 5 + horizon].sum(1)
    ahead[:, 11] = 0.0
    predictions = types.SimpleNamespace(
        **{
            name: types.SimpleNamespace(values={"reward": guess})
            for name, guess in (
                ("post", reward),
                ("prior", np.full([16, 50], seen.mean())),
                ("open", ahead),
            )
        }
    )
    found = evaluation.Holdout(
        metrics,
        {"open_loop/reward_by_step": curve},
        {"reward": reward},
        predictions,
    )
    monkeypatch.setattr(evaluation, "holdout", lambda *_: found)
    train_offline.compare(config, str(tmp_path), 0.1, 0.1)
    header, line = capsys.readouterr().out.splitlines()
    # Two spaces or more, as a name may be two words.
    names, values = (re.split("  +", x.strip()) for x in (header, line))
    scores = dict(zip(names, values, strict=True))
    assert {k: float(v) for k, v in [*scores.items()][3:]} == {
        "image": 1,
        "next image": 2,
        "reward": 3,
        "kl": 4,
        "reward error": 5,
        "R2 post": 1,
        "R2 next": 0,
        "R2 open": -2.25,
        "sums": -1,
    }


def test_episodes_of_one_task(tmp_path):
    for split in ("train", "test"):
        _episodes(tmp_path, split, 21)
    with pytest.raises(ValueError, match="holds no episode"):
        train_offline.compare(
            runs.TINY, str(tmp_path), 0, 0, tasks=["walker_walk"]
        )


def test_missing_episodes_are_named(tmp_path):
    _episodes(tmp_path, "train", 60)
    with pytest.raises(ValueError, match="test_episodes holds no episode"):
        train_offline.compare(runs.TINY, str(tmp_path), 1, 1)
