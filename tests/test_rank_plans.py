"""How well models rank action sequences, beside the simulator."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from planet_tf import run_folder
from scripts import rank_plans
from tests import runs


def test_ranking():
    """A perfect order, one that a single sample hides, and a wrong one."""
    true = np.array([3.0, 1, 2, 0])
    found = rank_plans.ranking(np.stack([2 * true, 2 * true + 1]), true, 2)
    assert found.correlation == found.one_sample == pytest.approx(1)
    assert found.spread_predicted == pytest.approx(2 * found.spread_true)
    assert found.spread_samples == pytest.approx(0.5)
    assert found[-3:] == (1.5, 2.5, 3)
    noise = np.array([0.0, 0, 0, 9])
    found = rank_plans.ranking(np.stack([true + noise, true - noise]), true, 1)
    assert found.correlation == pytest.approx(1)
    assert found.one_sample < 0
    assert rank_plans.ranking(-true[None], true, 2).chosen_return == 0.5


def test_compare(tmp_path, monkeypatch):
    """With real pixels and the simulator, which has to agree with them."""
    values = dataclasses.replace(
        runs.TINY,
        tasks=("cartpole_swingup",),
        planner_amount=6,
        planner_topk=4,
    )
    chosen, ranking = [], rank_plans.ranking

    def noted(predicted, true, best):
        chosen.append(best)
        return ranking(predicted, true, best)

    monkeypatch.setattr(rank_plans, "ranking", noted)
    runs.make(tmp_path / "run", values, [3])
    run = run_folder.find(tmp_path / "run")
    count, means = rank_plans.compare(run, "cartpole_swingup", 1, 8, 9)
    assert count == 2  # In 20 decisions.
    assert set(chosen) == {6}  # Of 9, as the search has 4 of 6.
    for mean in means.values():
        assert mean.spread_samples > 0
        assert mean.spread_predicted > 0
        assert mean.spread_true > 0
    with pytest.raises(ValueError, match="--every=21: .* has 20 decisions"):
        rank_plans.compare(run, "cartpole_swingup", 1, 21, 6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Name the folder of a run: --logdir=RUN"),
        (["--logdir=/nowhere"], "/nowhere"),
        (["what"], "Unknown arguments: what"),
    ],
)
def test_bad_flags(flags, message):
    result = subprocess.run(
        [sys.executable, "-m", "scripts.rank_plans", *flags],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
