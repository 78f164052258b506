"""Tests of the benchmark: what is timed when, and what is reported."""

import json
import subprocess
import sys

import pytest

from scripts import benchmark
from scripts.benchmark_parts import Part

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


def test_all_parts_run():
    """One of each, tiny; the frames are drawn for real."""
    process = command(
        "--all",
        "--config=debug",
        "--batch=3",
        "--length=7",
        "--candidates=9",
        "--threads=1",
        "--reps=1",
        "--episodes=2",
        "--replay_storage=disk",
        "--json",
    )
    assert process.returncode == 0, process.stderr
    rows = {
        row["name"]: row
        for row in map(json.loads, process.stdout.split("\n")[:-1])
    }
    assert list(rows) == [
        *("matrix", "render_original", "render_fast", "simulate", "replay"),
        *("update", "plan", "act", "episode"),
    ]
    for row in rows.values():
        assert list(row) == KEYS and row["threads"] == 1
        assert 0 < row["min_s"] == row["median_s"] == row["max_s"]
    # Twenty decisions of the debug preset's search, with 9 candidates.
    assert rows["episode"]["gflop"] == pytest.approx(20 * rows["act"]["gflop"])
    assert rows["plan"]["gflop"] == pytest.approx(2.472e-4 * 9 / 5)
    assert rows["update"]["gflop"] == pytest.approx(0.3146922 * 21 / 50)
    assert rows["episode"]["median_s"] > 10 * rows["act"]["median_s"]
