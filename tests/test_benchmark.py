"""Tests of the benchmark: what is timed when, and what is reported."""

import contextlib
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import config as configs
from planet_tf.tools import devices, flops
from scripts import benchmark
from scripts.benchmark_parts import NAMES, Part, parts

KEYS = [
    "name",
    "median_s",
    "min_s",
    "max_s",
    "gflop",
    "gflop_per_s",
    "limit_gflop_per_s",
    "fraction_of_limit",
    "precision",
    "threads",
]


class Product:
    """Stands for the process of the matrix product."""

    def __init__(self, log, seconds=0.5):
        self._log, self._seconds = log, seconds

    def call(self, method, argument):
        """A promise, as a worker's."""
        self._log.append(f"{method} asked")

        def promise():
            self._log.append("matrix")
            return self._seconds

        return promise


def test_everything_runs_in_turn(monkeypatch):
    """At once, parts and limit would share the cores."""
    log, clock = [], [0.0]
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock[0])

    def work(name, seconds):
        log.append(name)
        clock[0] += seconds

    timed = {
        "one": Part(lambda: work("one", 3)),
        "many": Part(lambda: work("many", 8), count=4),
        "long": Part(lambda: work("long", 9), warm=lambda: work("warm", 1)),
    }
    seconds = benchmark.measure(timed, Product(log), reps=2)
    turn = ["seconds asked", "matrix", "one", "many", "long"]
    assert log == [*turn[:-1], "warm", *turn, *turn]
    assert seconds == {
        "matrix": [0.5, 0.5],
        "one": [3, 3],
        "many": [2, 2],
        "long": [9, 9],
    }


def test_rows():
    matrix, update, replay = benchmark.rows(
        {"matrix": [1, 2, 9], "update": [8, 4, 16], "replay": [3, 1]},
        {"matrix": 100.0, "update": 200.0, "replay": None},
        precision="float32",
        threads=2,
    )
    assert list(matrix) == list(update) == list(replay) == KEYS
    assert (
        matrix["limit_gflop_per_s"] == 50 and matrix["fraction_of_limit"] == 1
    )
    assert list(update.values()) == [
        *("update", 8, 4, 16, 200.0, 25.0, 50.0, 0.5, "float32", 2)
    ]
    assert replay["median_s"] == 2 and replay["fraction_of_limit"] is None
    # People read the same.
    lines = benchmark.table([matrix, update, replay]).splitlines()
    assert lines[2].split() == (
        "update 8.0000 4.0000 16.0000 200.0 25.0 50%".split()
    )
    assert lines[3].split() == "replay 2.0000 1.0000 3.0000".split()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "scripts.benchmark", *arguments],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--all"),
        (["updte"], "no part updte"),
        (["act", "--precision=float16"], "<float32"),
        (["act", "--candidates=5"], "--planner_topk=100"),
        (["update", "--length=1"], "--batch_shape=50,1"),
        (["update", "--threads=9999"], "--threads=9999"),
        (["render", "--task=dummy"], "--task=dummy: render"),
    ],
)
def test_bad_arguments(arguments, message):
    process = command(*arguments)
    assert process.returncode == 2 and message in process.stderr
    assert process.stderr.count("\n") == 1 and not process.stdout


def test_command_line():
    """Also that flags reach both processes."""
    process = command(
        *("replay", "--task=dummy", "--config=debug", "--json"),
        *("--threads=1", "--reps=1", "--episodes=2"),
    )
    assert process.returncode == 0, process.stderr
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["matrix", "replay"]
    for row in rows:
        assert list(row) == KEYS and row["threads"] == 1
        assert 0 < row["min_s"] == row["median_s"] == row["max_s"]
        assert row["limit_gflop_per_s"] > 1


@pytest.fixture
def eagerly(monkeypatch):
    """Compiling takes far longer than running once."""
    # The other tests of this process keep their threads.
    monkeypatch.setattr(devices, "prepare", lambda: None)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_all_parts_run(eagerly):
    config = dataclasses.replace(
        configs.PRESETS["debug"],
        action_repeat=100,
        planner_horizon=2,
        planner_iterations=1,
        replay_storage="disk",
    )
    with contextlib.ExitStack() as stack:
        found = parts(list(NAMES), config, 2, stack)
        assert set(found) == {
            *("render_original", "render_fast", "simulate", "replay"),
            *("update", "plan", "act", "episode"),
        }
        results = {name: part.run() for name, part in found.items()}
        found["episode"].warm()
    assert results["replay"]["image"].shape == (5, 10, 64, 64, 3)
    assert np.isfinite(results["update"])
    assert results["plan"].shape == (1, 2, 2)
    assert results["act"].shape == (1, 2)
    # 1000 simulator steps, 100 a decision.
    (played,) = results["episode"]
    assert len(played["reward"]) == 11
    assert found["episode"].gflop == 10 * found["act"].gflop
    sizes = {"stoch": 5, "deter": 10, "layers": 1, "units": 10}
    assert [found[name].gflop * 1e9 for name in ("plan", "update")] == [
        pytest.approx(flops.plan_flops(5, 1, 2, 2, **sizes)),
        pytest.approx(flops.update_flops(5, 10, 4, 2, **sizes)),
    ]


def test_arithmetic_is_not_invented(eagerly):
    """It is counted for the paper's model alone."""
    config = dataclasses.replace(
        configs.PRESETS["debug"], model="ssm", tasks=("dummy",)
    )
    with contextlib.ExitStack() as stack:
        found = parts(["update", "plan", "episode"], config, 2, stack)
    assert [part.gflop for part in found.values()] == [None] * 3
