"""Scoring a run: the command itself, and its parts on small worlds."""

import csv
import functools
import json
import subprocess
import sys
import types

import av
import numpy as np
import pytest
from absl import flags
from PIL import Image

from planet_tf import evaluate, evaluation_report, run_folder, worlds
from planet_tf.control import plan_quality
from planet_tf.control.mpc_agent import PlanRecord
from planet_tf.control.planning import Search
from planet_tf.control.workers import Worker
from planet_tf.run_folder import Run
from planet_tf.tools.seeding import fold_int
from tests import runs
from tests.fakes import SeededWorld


def _run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "planet_tf.evaluate", *flags],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("evaluate") / "run"
    runs.make(logdir, updates=[3, 7])
    return logdir


def test_command(folder, tmp_path):
    """On real pixels, beside a training process that holds the lock."""
    out = tmp_path / "out"
    with run_folder.locked(folder):
        result = _run(
            f"--logdir={folder}",
            "--episodes=2",
            "--envs=2",
            "--checkpoint=3",
            "--planner_horizon=4",
            "--planner_warm_start",
            f"--outdir={out}",
        )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == f"Files: {out}"
    assert "cup_catch: 2 of 2 episodes" in lines
    found = json.loads((out / "evaluation.json").read_text())
    assert (found["checkpoint"], found["planner_horizon"]) == (3, 4)
    assert found["planner_warm_start"] is True
    task = found["tasks"]["cup_catch"]
    returns = [episode["return"] for episode in task["episodes"]]
    assert len(returns) == len({e["seed"] for e in task["episodes"]}) == 2
    assert task["return"]["mean"] == pytest.approx(np.mean(returns))
    assert [e["length"] for e in task["episodes"]] == [20] * 2
    assert task["plan_quality"]["decisions"] == 2 * 17
    with (out / "plan_quality.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert [row["decision"] for row in rows[20:23]] == ["0", "1", "2"]
    assert {"predicted", "realized", "first_spread_2"} <= set(rows[0])
    with Image.open(out / "cup_catch.gif") as video:
        assert video.n_frames == 21
    with av.open(out / "cup_catch.mp4") as video:
        assert sum(1 for _ in video.decode(video=0)) == 21
    with Image.open(out / "plan_quality.png") as plot:
        assert plot.width > 1000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--logdir=/nowhere"], "holds no run"),
        ([], "--logdir"),
        (["--logdir={}", "--checkpoint=4"], "only 7, 3"),
        (["--logdir={}", "--episodes=0"], "--episodes=0"),
        (["--logdir={}", "--task=cheetah_run"], "cup_catch"),
        (["--logdir={}", "--planner_topk=17"], "--planner_topk=17"),
    ],
)
def test_bad_input_is_one_line(folder, flags, message):
    result = _run(*(flag.format(folder) for flag in flags))
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_corrupt_checkpoint_is_one_line(damage, tmp_path):
    """Not the older one instead: the figures would be another agent's."""
    runs.make(tmp_path, updates=[1, 2])
    (data,) = tmp_path.glob("checkpoints/ckpt-2.data*")
    found = bytearray(data.read_bytes())
    if damage == "cut off":
        del found[1000:]
    else:
        for i in range(0, len(found), 100):
            found[i] ^= 255
    data.write_bytes(found)
    result = _run(f"--logdir={tmp_path}")
    assert result.returncode == 2
    assert "ckpt-2 cannot be read" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "evaluation").exists()


def test_seeds_are_no_other_streams():
    """A world of training would be one that the model has seen."""
    found = evaluate.seeds(0, "cup_catch", 50)
    assert len(set(found)) == 50
    assert evaluate.seeds(0, "ball_in_cup-catch", 50) == found
    assert evaluate.seeds(0, "cup_catch", 20) == found[:20]
    other = {
        fold_int(0, f"{split}_cup_catch", i)
        for split in ("train", "test")
        for i in range(1000)
    }
    assert not other & set(found)
    assert not set(evaluate.seeds(1, "cup_catch", 50)) & set(found)


class CountingAgent:
    """Predicts 10 x the number of the decision, in every row + row."""

    run = Run(None, runs.TINY, 7, None, 2, {})

    def reset(self, batch, seed):
        self._batch, self.records = batch, []

    def act(self, images):
        rows = np.arange(self._batch)
        value = 10.0 * len(self.records) + rows
        search = Search(*[np.tile(value, [2, 1])] * 4)
        self.records.append(PlanRecord(value, search))
        return np.zeros([self._batch, 2], np.float32)


def test_rounds_of_several_worlds(monkeypatch):
    """Five episodes in two worlds: each with its own seed and predictions."""
    made = []

    def worker(config, task):
        made.append(task)
        # The first world ends early; its row of the records goes on.
        return Worker(functools.partial(SeededWorld, 4 if len(made) > 1 else 3))

    monkeypatch.setattr(worlds, "worker", worker)
    played = evaluate.evaluate(CountingAgent(), ["gym:A/B"], 5, 2, seed=1)
    played = played["gym_A_B"]  # Names files.
    assert made == ["gym:A/B"] * 2
    assert played.lengths == [3, 4, 3, 4, 3]
    assert played.seeds == evaluate.seeds(1, "gym:A/B", 5)
    assert len(set(played.returns)) == 5
    for i, columns in enumerate(played.plans):
        np.testing.assert_array_equal(
            columns["predicted"], 10 * np.arange(3 + i % 2) + i % 2
        )


@pytest.fixture
def played():
    """Three episodes; rewards count up from 1."""
    episodes, plans = [], []
    for length in (3, 5, 4):
        rows = np.arange(length + 1)
        image = np.broadcast_to(
            50 * rows[:, None, None, None], (length + 1, 64, 64, 3)
        )
        episodes.append(
            {"image": image.astype(np.uint8), "reward": rows.astype(np.float32)}
        )
        records = [
            PlanRecord(np.array([1.0 * t]), Search(*[np.ones([2, 1])] * 4))
            for t in range(length)
        ]
        plans.append(plan_quality.decisions(records, 0, rows, horizon=2))
    return evaluation_report.Played([7, 8, 9], episodes, plans, 2)


def test_full_disk_does_not_lose_the_figures(
    played, tmp_path, monkeypatch, capsys
):
    """Episodes take minutes or hours; the disk is full at their end."""

    def full(*_):
        raise OSError("No space left")

    monkeypatch.setattr(evaluate, "_prepare", lambda _: (agent, [], tmp_path))
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: {"cup": played})
    monkeypatch.setattr(evaluation_report, "write", full)
    agent = types.SimpleNamespace(
        run=CountingAgent.run._replace(logdir=tmp_path)
    )
    values = types.SimpleNamespace(envs=1, episodes=3, seed=0, policy=True)
    monkeypatch.setattr(flags, "FLAGS", values)
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    output = capsys.readouterr()
    assert stop.value.code == 1 and output.err == "No space left\n"
    assert "  median                  10.0" in output.out


def test_a_reader_who_leaves_does_not_lose_the_files(
    played, tmp_path, monkeypatch
):
    """`| head` closes the pipe amid the tables."""
    written = []

    def leave(*_):
        raise BrokenPipeError

    monkeypatch.setattr(evaluate, "_prepare", lambda _: (agent, [], tmp_path))
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: {"cup": played})
    monkeypatch.setattr(evaluation_report, "table", leave)
    monkeypatch.setattr(
        evaluation_report, "write", lambda *files: written.append(files)
    )
    agent = types.SimpleNamespace(
        run=CountingAgent.run._replace(logdir=tmp_path)
    )
    values = types.SimpleNamespace(envs=1, episodes=3, seed=0, policy=True)
    monkeypatch.setattr(flags, "FLAGS", values)
    with pytest.raises(BrokenPipeError):
        evaluate.main()
    assert written


def test_table_against_figures_by_hand(played):
    """Returns 6, 15, 10; lengths 3, 5, 4."""
    found = evaluation_report.summary(played)
    assert found["return"] == pytest.approx(
        {"mean": 31 / 3, "std": 3.681787, "median": 10, "min": 6, "max": 15}
    )
    assert found["length"]["mean"] == 4
    assert found["episodes"][1] == {"seed": 8, "return": 15.0, "length": 5}
    rows = [
        line.split() for line in evaluation_report.table("t", found).split("\n")
    ]
    assert rows[1] == ["episode", "seed", "return", "length"]
    assert rows[3] == ["1", "8", "15.0", "5"]
    assert ["mean", "10.3", "4.0"] in rows and ["std", "3.7", "0.8"] in rows
    assert ["median", "10.0", "4.0"] in rows


def test_video_holds_every_episode_to_its_end(played):
    video = evaluation_report.video(played)
    scale, label = evaluation_report._SCALE, evaluation_report._LABEL
    step = 64 * scale + evaluation_report._GAP
    assert video.shape[:1] == (6,) and video.shape[2] == 3 * step
    middle = video[:, label + 32 * scale, 32 * scale :: step, 0]
    # The first and last stand still when they are over.
    np.testing.assert_array_equal(middle[:, 0], [0, 50, 100, 150, 150, 150])
    np.testing.assert_array_equal(middle[:, 1], 50 * np.arange(6))
    np.testing.assert_array_equal(middle[:, 2], [0, 50, 100, 150, 200, 200])
    many = played._replace(episodes=played.episodes * 4)
    assert evaluation_report.video(many).shape[1:3] == (
        2 * (64 * scale + label + evaluation_report._GAP),
        5 * step,
    )


def test_without_planner_there_is_no_plan_quality(played, tmp_path):
    """Figures of a search that never was would mislead."""
    played = {"gym:ALE/Pong-v5": played._replace(plans=[])}
    evaluation_report.write(tmp_path, {}, played)
    found = json.loads((tmp_path / "evaluation.json").read_text())
    found = found["tasks"]["gym:ALE/Pong-v5"]
    assert "plan_quality" not in found
    assert "predicted" not in evaluation_report.table("t", found)
    assert {path.name for path in tmp_path.iterdir()} == {
        "evaluation.json",
        "gym_ALE_Pong-v5.gif",
        "gym_ALE_Pong-v5.mp4",
    }
