"""The arithmetic that times are compared with."""

import pytest

from planet_tf import totals
from planet_tf.config import Config
from planet_tf.tools import flops


def test_paper_sizes():
    """588 GFLOP an update and 131 a plan, counted independently by others."""
    assert flops.update_flops(50, 50, 32, 2) / 1e9 == pytest.approx(588, abs=1)
    # Images drawn in one row of five.
    sparse = flops.update_flops(50, 50, 32, 2, 5) / 1e9
    decoder = 3 * 2500 * flops.frame_flops(32, 230)["decoder"] / 1e9
    assert sparse == pytest.approx(588 - 0.8 * decoder, abs=1)
    # Forward, and the kernel's gradient.
    motion = flops.update_flops(50, 50, 32, 2, channels=6)
    more = motion - flops.update_flops(50, 50, 32, 2)
    assert more == 2 * 2500 * 2 * 31**2 * 16 * 3 * 32
    # Forward and backward, like 20 plans' steps for every row.
    latent = flops.update_flops(50, 50, 32, 2, overshooting=20)
    rewards = 3 * 2500 * 20 * flops.step_flops(2, 1024)["reward"]
    more = latent + rewards - flops.update_flops(50, 50, 32, 2)
    assert more == 3 * flops.plan_flops(2500, 1, 20, 2)
    options = {"overshooting": 20, "reward_ahead": True}
    assert flops.update_flops(50, 50, 32, 2, **options) == latent + rewards
    assert flops.plan_flops(1000, 10, 12, 2) / 1e9 == pytest.approx(131, abs=1)


def test_options_of_a_run():
    """Each option that changes the arithmetic reaches its own argument."""
    config = Config(
        encode_motion=True,
        image_loss_every=5,
        overshooting_distance=8,
        overshooting_reward_scale=1.0,
    )
    options = {"image_every": 5, "overshooting": 8, "reward_ahead": True}
    assert totals.update_flops(config, 2) == flops.update_flops(
        50, 50, 32, 2, channels=6, **options, **totals.widths(config)
    )
