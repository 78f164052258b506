"""Predictions beside what came, against figures worked out by hand."""

import numpy as np
import pytest

from planet_tf.control import plan_quality
from planet_tf.control.mpc_agent import PlanRecord
from planet_tf.control.planning import Search

REWARD = np.array([0, 1, 0, 2, 4, 8], np.float32)  # Five decisions.


def records(predicted, iterations=3):
    """Of a batch of two; row 0 is another world's."""

    def field(t, k):
        values = np.arange(iterations) + 10 * t + 100 * k
        return np.stack([np.full(iterations, -1), values], 1)

    return [
        PlanRecord(
            np.array([-1.0, value]), Search(*(field(t, k) for k in range(4)))
        )
        for t, value in enumerate(predicted)
    ]


def test_a_decision_is_set_beside_the_rewards_after_it():
    """Off by one, the reward before a decision would count as its own."""
    # The seventh record is from a world that went on for longer.
    columns = plan_quality.decisions(
        records([5.0, 6, 7, 8, 9, 99, 99]), 1, REWARD, horizon=2
    )
    np.testing.assert_array_equal(columns["decision"], range(5))
    np.testing.assert_array_equal(columns["realized"], [1, 2, 6, 12, 8])
    np.testing.assert_array_equal(columns["ahead"], [2, 2, 2, 2, 1])
    np.testing.assert_array_equal(columns["predicted"], [5, 6, 7, 8, 9])
    assert columns["first_spread"].shape == (5, 3)
    np.testing.assert_array_equal(columns["elite_spread"][4], [240, 241, 242])


def test_summary_leaves_out_horizons_that_the_episode_cuts():
    columns = plan_quality.decisions(
        records([5.0, 6, 7, 8, 999]), 1, REWARD, horizon=2
    )
    found = plan_quality.summary(columns, horizon=2)
    # Predicted 5, 6, 7, 8; realized 1, 2, 6, 12.
    assert found["decisions"] == 4
    assert found["bias"] == pytest.approx(1.25)
    assert found["error"] == pytest.approx(np.sqrt((16 + 16 + 1 + 16) / 4))
    # Sums of products about the means 6.5 and 5.25.
    assert found["correlation"] == pytest.approx(18.5 / np.sqrt(5 * 74.75))
    assert found["elite_return"] == [20, 21, 22]


def test_nothing_comes_after_a_world_that_has_terminated():
    """So its last decisions count, where those of a cut episode do not."""
    columns = plan_quality.decisions(
        records([5.0, 6, 7, 8, 9]), 1, REWARD, horizon=2, terminated=True
    )
    np.testing.assert_array_equal(columns["realized"], [1, 2, 6, 12, 8])
    assert plan_quality.summary(columns, horizon=2)["decisions"] == 5


def test_no_correlation_where_nothing_changes():
    """An agent that never sees a reward; NaN would not be JSON."""
    columns = plan_quality.decisions(
        records([1.0, 2, 3, 4, 5]), 1, np.zeros(6), horizon=2
    )
    assert plan_quality.summary(columns, 2)["correlation"] is None


def test_episodes_shorter_than_the_horizon():
    columns = plan_quality.decisions(
        records([1.0, 2, 3, 4, 5]), 1, REWARD, horizon=9
    )
    np.testing.assert_array_equal(columns["realized"], [15, 14, 14, 12, 8])
    found = plan_quality.summary(columns, 9)
    assert found["decisions"] == 0 and "correlation" not in found
