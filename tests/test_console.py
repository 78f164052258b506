"""What the terminal shows."""

import dataclasses
import types

import pytest

from planet_tf import build, console, totals
from planet_tf.control.environments import Spec
from tests.runs import TINY


@pytest.mark.parametrize(
    "every, warns", [(TINY.collect_every, False), (10**9, True)]
)
def test_what_a_run_will_be(monkeypatch, every, warns):
    """Of two tasks, with the mean of their lengths: 10 and 29 decisions."""
    # A product of matrices, which takes a second.
    monkeypatch.setattr(console, "_cpu_hours", lambda *_: 0.0)
    tasks = ("cup_catch", "walker_walk")
    config = dataclasses.replace(
        TINY, tasks=tasks, collect_every=every, num_seed_episodes=100
    )
    workers = {
        task: [types.SimpleNamespace(spec=Spec(2, length, {}))]
        for task, length in zip(tasks, (10, 29), strict=True)
    }
    schedule = totals.schedule(config)
    text = console.introduction(
        config, schedule, build.world_model(config, 2), workers, 0, False, 0
    )
    count = sum(totals.episodes(config))
    size = count * (11 + 30) / 2 * 64 * 64 * 3 / 2**30
    assert f"at its end: {size:.2f} GiB" in text
    assert ("collector train never plays" in text) == warns


def test_returns_of_collectors_with_names():
    """They would otherwise be nowhere once the first one has ended."""
    counters = {"episodes": 3, "updates": 20, "env_steps": 3000}
    metrics = {"train_wild/score": 12.3, "train_wild/return_cup_catch": 12.3}
    line = console.line(counters, metrics, None)
    assert "train_wild return 12  " in line and line.count("12") == 1
    several = {
        "train/score": 4.0,
        "train/return_cup_catch": 7.0,
        "train/return_walker_walk": 1.0,
    }
    line = console.line(counters, several, None)
    assert "  return 4 (cup_catch 7, walker_walk 1)  " in line
    line = console.line(counters, {"train/score": 5.0}, None)
    assert "  return 5  " in line and "train" not in line
