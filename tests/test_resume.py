"""A run that is stopped anywhere ends as if it had not been, bit by bit."""

import pathlib
import random
import subprocess
import sys

from tests import runs

ROOT = pathlib.Path(__file__).parent.parent
# Rounds of 5, 4, 1, 3 and 2 updates: one with a test alone, some with both.
FLAGS = """
    --config=debug --deterministic --seed=3 --task=cup_catch --batch_shape=2,3
    --action_repeat=200 --num_seed_episodes=2 --train_steps=10 --test_steps=2
    --collect_every=8 --max_steps=36 --conv_depth=1 --planner_horizon=1
    --planner_amount=3 --planner_iterations=1
""".split()
KILLED, TERMINATED = -9, 143


def _start(logdir, point, count=0):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.interrupted", point, str(count)]
        + [f"--logdir={logdir}", *FLAGS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process, status):
    output = process.communicate(timeout=900)[0]
    assert process.returncode == status, output
    return output


def test_stopped_anywhere_it_ends_the_same(tmp_path):
    """Faults of many kinds, at moments chosen at random, in a single run.

    In this order, each is reached however late the ones before it strike.
    """
    reference = _start(tmp_path / "reference", "never")
    logdir = tmp_path / "run"
    pick = random.SystemRandom()
    others = [
        ("update", pick.randint(1, 4), KILLED),
        ("log", pick.randint(1, 2), KILLED),
        ("terminated update", pick.randint(1, 4), TERMINATED),
        ("terminated decision", pick.randint(1, 8), TERMINATED),
    ]
    faults = [
        ("episode write", pick.randint(1, 5), KILLED),
        pick.choice(others),
        ("decision", pick.randint(1, 10), KILLED),
        ("checkpoint write", pick.randint(1, 3), KILLED),
    ]
    print(faults)  # Shown when the test fails.
    for point, count, status in faults:
        _finish(_start(logdir, point, count), status)
    _finish(_start(logdir, "never"), 0)
    _finish(reference, 0)

    runs.assert_same(tmp_path / "reference", logdir, [5, 9, 10, 13, 15])
