"""Work divided over cores: the same results as in one piece."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, machine
from planet_tf.config import Config
from planet_tf.tools import devices
from planet_tf.training.learner import Learner

TINY = Config(
    conv_depth=2,
    model_size=8,
    state_size=4,
    num_layers=1,
    num_units=8,
    planner_amount=15,
    planner_topk=4,
    planner_iterations=2,
    planner_horizon=3,
)


def test_rows_keep_their_place_and_missing_inputs_stay_missing(monkeypatch):
    monkeypatch.setattr(devices, "_branches", 3)
    sizes = []

    def function(pair, nothing):
        assert nothing is None
        sizes.append(pair["a"].shape[0])
        return pair["a"] + pair["b"], [2 * pair["b"]]

    a, b = tf.reshape(tf.range(16.0), [8, 2]), tf.range(8.0)[:, None]
    total, (double,) = devices.in_branches(function, {"a": a, "b": b}, None)
    assert sizes == [3, 3, 2]
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(double, 2 * b)


def test_update_and_plan_are_those_of_one_piece(monkeypatch):
    """Loss, gradient and action: sums in another order, nothing else."""
    config = dataclasses.replace(TINY, batch_shape=(3, 4))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [3, 4, 64, 64, 3], np.uint8)
    batch = {
        "image": tf.constant(images),
        "action": tf.constant(rng.uniform(-1, 1, [3, 4, 2]), tf.float32),
        "reward": tf.constant(rng.normal(size=[3, 4]), tf.float32),
    }

    def results(branches):
        monkeypatch.setattr(devices, "_branches", branches)
        tf.keras.utils.set_random_seed(0)
        model = build.world_model(config, 2)
        learner = Learner(model)
        metrics = learner.update(batch, tf.constant([1, 2]))
        agent = build.agent(config, model, 2)
        agent.reset(3, seed=1)
        return (*metrics.values(), agent.act(images[:, 0]))

    for one, two in zip(results(1), results(2), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_prepare_leaves_a_process_alone_that_has_started():
    """Threads cannot change then, and branches would only cost."""
    code = """
import tensorflow as tf
from planet_tf.tools import devices
tf.ones([1]) + 1
devices.prepare()
print(devices._branches, tf.config.threading.get_intra_op_parallelism_threads())
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["1", "0"]


@pytest.mark.skipif(machine.cores() == 1, reason="one core has one branch")
def test_prepare_takes_a_branch_for_each_core():
    code = """
from planet_tf.tools import devices
devices.prepare(branches=False)
print(devices._branches)
devices.prepare()
devices.prepare()
print(devices._branches)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    cores = machine.cores()
    assert found.stdout.split() == ["1", str(min(cores, 8))]
