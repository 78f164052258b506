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
from scripts import benchmark, benchmark_parts, plain
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
        "float32",
        2,
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


def test_plain_rows():
    """They are float32 always, and have no limit in another precision."""
    times = {"matrix": [1], "update": [2], "update_plain": [5]}
    work = {"matrix": 100.0, "update": 50.0, "update_plain": 50.0}
    _, update, plain = benchmark.rows(times, work, "bfloat16", 2)
    assert update["precision"] == "bfloat16" and plain["precision"] == "float32"
    assert plain["gflop_per_s"] == 10 and plain["limit_gflop_per_s"] is None
    assert plain["fraction_of_limit"] is None
    lines = benchmark.table([update, plain]).splitlines()
    assert (
        lines[2].split()
        == "update_plain 5.0000 5.0000 5.0000 50.0 10.0".split()
    )
    assert lines[3] == "update: 2.50 times as fast as update_plain"
    _, _, plain = benchmark.rows(times, work, "float32", 2)
    assert plain["fraction_of_limit"] == 0.1


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
        (["act", "--precision=float16"], "float32 | bfloat16"),
        (["act", "--plain"], "update and plan"),
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
        *("--threads=1", "--reps=1", "--episodes=2", "--precision=bfloat16"),
    )
    assert process.returncode == 0, process.stderr
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["matrix", "replay"]
    for row in rows:
        assert list(row) == KEYS and row["threads"] == 1
        assert row["precision"] == "bfloat16"
        assert 0 < row["min_s"] == row["median_s"] == row["max_s"]
        assert row["limit_gflop_per_s"] > 1


@pytest.fixture
def eagerly(monkeypatch):
    """Compiling takes far longer than running once."""
    # The other tests of this process keep their threads.
    monkeypatch.setattr(devices, "prepare", lambda **_: None)
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


class Here:
    """A worker without a process."""

    def __init__(self, constructor):
        self._made = constructor()

    def call(self, method, argument):
        """A promise, as a worker's."""
        return lambda: getattr(self._made, method)(argument)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass


def test_plain_parts(eagerly, monkeypatch):
    monkeypatch.setattr(benchmark_parts, "Worker", Here)
    made, build_plain = [], plain.world_model

    def make(config, *args, **kwargs):
        made.append(config.precision)
        return build_plain(config, *args, **kwargs)

    monkeypatch.setattr(plain, "world_model", make)
    config = dataclasses.replace(
        configs.PRESETS["debug"], tasks=("dummy",), precision="bfloat16"
    )
    with contextlib.ExitStack() as stack:
        found = parts(["update", "plan"], config, 2, stack, plain=True)
        assert list(found) == ["update", "plan", "update_plain", "plan_plain"]
        results = {name: part.run() for name, part in found.items()}
    assert made == ["float32"]
    # Other weights, but noise is noise to both.
    assert results["update_plain"] == pytest.approx(results["update"], rel=0.05)
    assert results["plan_plain"].shape == results["plan"].shape
    assert found["plan_plain"].gflop == found["plan"].gflop


def test_heads_of_the_state_have_something_to_read(eagerly):
    """Episodes without a meaning have all that the world shows."""
    config = dataclasses.replace(
        configs.PRESETS["debug"], action_repeat=100, state_diagnostics=True
    )
    with contextlib.ExitStack() as stack:
        found = parts(["update", "replay"], config, 2, stack)
        assert np.isfinite(found["update"].run())
        found["replay"].run()


def test_arithmetic_is_not_invented(eagerly):
    """It is counted for the paper's model alone."""
    config = dataclasses.replace(
        configs.PRESETS["debug"], model="ssm", tasks=("dummy",)
    )
    with contextlib.ExitStack() as stack:
        found = parts(["update", "plan", "episode"], config, 2, stack)
    assert [part.gflop for part in found.values()] == [None] * 3
