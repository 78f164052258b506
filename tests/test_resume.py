"""A run that is stopped anywhere ends as if it had not been, bit by bit."""

import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import tensorflow as tf

ROOT = pathlib.Path(__file__).parent.parent
# Rounds of 5, 4, 1, 3 and 2 updates: one with a test alone, some with both.
FLAGS = """
    --config=debug --deterministic --seed=3 --task=cup_catch --batch_shape=2,3
    --action_repeat=125 --num_seed_episodes=2 --train_steps=10 --test_steps=2
    --collect_every=8 --max_steps=36 --conv_depth=1 --planner_horizon=2
    --planner_amount=3
""".split()
# Likewise, without pixels, and with episodes beside the updates.
BESIDE = [
    *FLAGS,
    "--task=tests.fakes:SeededWorld",
    "--action_repeat=1",
    "--collect_while_training",
]
KILLED, TERMINATED = -9, 143


def _start(logdir, point, count=0, first="", flags=FLAGS):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.interrupted", point, str(count), first]
        + [f"--logdir={logdir}", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process, status):
    output = process.communicate(timeout=900)[0]
    assert process.returncode == status, output
    return output


def _episodes(logdir):
    """By folder, number and task; file names hold the time as well."""
    result = {}
    for path in logdir.glob("*_episodes/*.npz"):
        with np.load(path) as file:
            result[path.parent.name, *path.name.split("-")[:2]] = dict(file)
    return result


def _metrics(logdir):
    lines = (logdir / "metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    return [
        {k: v for k, v in x.items() if "time" not in k.partition("/")[0]}
        for x in points
    ]


def _checkpoints(logdir):
    """Every tensor of every checkpoint, and the positions without the time."""
    result = {}
    for path in logdir.glob("checkpoints/**/*.index"):
        reader = tf.train.load_checkpoint(str(path.with_suffix("")))
        for name in reader.get_variable_to_shape_map():
            value = reader.get_tensor(name)
            if name.startswith("position/"):
                value = json.loads(value) | {"seconds": None}
            result[path.relative_to(logdir), name] = value
    return result


def _videos(logdir):
    return {p.name: p.read_bytes() for p in logdir.glob("**/*.gif")}


def test_stopped_anywhere_it_ends_the_same(tmp_path):
    """Faults of any kind, at moments chosen at random, in a single run."""
    reference = _start(tmp_path / "reference", "never")
    logdir = tmp_path / "run"
    pick = random.SystemRandom()
    faults = [
        ("episode write", pick.randint(1, 5), KILLED),
        ("terminated update", pick.randint(1, 4), TERMINATED),
        ("decision", pick.randint(1, 16), KILLED),
        ("checkpoint write", pick.randint(2, 5), KILLED),
        (pick.choice(["log", "update"]), pick.randint(1, 2), KILLED),
        ("terminated decision", pick.randint(1, 8), TERMINATED),
    ]
    # Three of them: a start takes longer than what is lost.
    faults = [faults[i] for i in sorted(pick.sample(range(6), 3))]
    print(faults)  # Shown when the test fails.
    for point, count, status in faults:
        _finish(_start(logdir, point, count), status)
    _finish(_start(logdir, "never"), 0)
    _finish(reference, 0)
    _assert_same(tmp_path / "reference", logdir)


def _assert_same(reference, logdir):
    metrics = _metrics(reference)
    assert [x["updates"] for x in metrics] == [5, 9, 10, 13, 15]
    assert _metrics(logdir) == metrics
    for read in (_episodes, _checkpoints, _videos):
        expected, found = read(reference), read(logdir)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_equal(found[name], value, str(name))


def test_episodes_beside_updates(tmp_path):
    """Whichever end first, and stopped in whatever round: the same run.

    Agents that plan with newer weights, or batches from newer episodes, show.
    """
    reference = _start(tmp_path / "reference", "never", 0, "updates", BESIDE)
    logdir = tmp_path / "run"
    count = random.SystemRandom().randint(1, 14)
    print(count)  # Shown when the test fails.
    stopped = _start(logdir, "terminated update", count, "episodes", BESIDE)
    _finish(stopped, TERMINATED)
    _finish(_start(logdir, "never", 0, "episodes", BESIDE), 0)
    _finish(reference, 0)
    _assert_same(tmp_path / "reference", logdir)
