"""What the terminal shows."""

from planet_tf import console


def test_returns_of_collectors_with_names():
    """They would otherwise be nowhere once the first one has ended."""
    counters = {"episodes": 3, "updates": 20, "env_steps": 3000}
    metrics = {"train_wild/score": 12.3, "train_wild/return_cup_catch": 12.3}
    line = console.line(counters, metrics, None)
    assert "train_wild return 12  " in line and line.count("12") == 1
    line = console.line(counters, {"train/score": 5.0}, None)
    assert "  return 5  " in line and "train" not in line
