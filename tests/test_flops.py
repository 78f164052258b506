"""The arithmetic that times are compared with."""

import pytest

from planet_tf.tools import flops


def test_paper_sizes():
    """588 GFLOP an update and 131 a plan, counted independently by others."""
    assert flops.update_flops(50, 50, 32, 2) / 1e9 == pytest.approx(588, abs=1)
    assert flops.plan_flops(1000, 10, 12, 2) / 1e9 == pytest.approx(131, abs=1)
