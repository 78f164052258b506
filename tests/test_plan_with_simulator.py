"""The planner with true physics: small budgets, and worlds of one line."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from planet_tf.control.environments import Spec
from scripts.plan_with_simulator import (
    Budget,
    Episode,
    append_row,
    coloured,
    main,
    play,
    report,
)

_TINY = [
    "--task=cartpole_balance",
    "--episodes=1",
    "--planner_amount=16",
    "--planner_topk=4",
    "--planner_iterations=2",
    "--planner_horizon=4",
    "--planner_warm_start",
    "--seed=1",
    "--processes=2",
]


class Follow:
    """Stands for a worker: action t of an episode should be `goals[t]`."""

    goals = np.array([0.2, -0.6, 0.5, -0.3, 0.1, 0.7, 0.0], np.float32)

    def __init__(self):
        """Remembers the candidates that it was asked about."""
        self.spec = Spec(1, 4, {})
        self.asked = []

    def reset(self, seed):
        """Begins at time 0."""
        self._time = 0
        return lambda: {"time": 0}

    def step(self, action):
        """Rewards closeness."""
        reward = -float((action[0] - self.goals[self._time]) ** 2)
        self._time += 1
        result = {"time": self._time}, reward, self._time == 4
        return lambda: result

    def call(self, method, request):
        """Answers rollouts."""
        assert method == "rollout"
        state, actions = request
        self.asked.append(actions)
        goals = self.goals[state["time"] :][: actions.shape[1]]
        return lambda: -((actions[..., 0] - goals) ** 2)


def test_rewards_reach_the_candidates_they_belong_to():
    """Shares of several workers in the wrong order would find no plan."""
    workers = [Follow() for _ in range(3)]
    episode = play(workers, Budget(200, 20, 8, 3), seed=0)
    assert episode.score == pytest.approx(0, abs=0.01)
    sizes = [[len(x) for x in worker.asked] for worker in workers]
    assert sizes == [[67] * 32, [67] * 32, [66] * 32]


def test_warm_start():
    """The first candidates of a decision surround the rest of the last plan."""
    worker = Follow()
    play([worker], Budget(2000, 200, 8, 3, warm_start=True), seed=0)
    second = worker.asked[8]  # The first iteration of the second decision.
    centre = np.median(second[:, :, 0], axis=0)
    np.testing.assert_allclose(centre, [-0.6, 0.5, 0.0], atol=0.1)


def test_coloured_noise():
    """Unit variance whatever the exponent; neighbours alike from 1 on."""
    white = np.random.default_rng(0).normal(size=[20000, 12, 2])
    np.testing.assert_allclose(coloured(white, 0.0), white, atol=1e-6)
    alike = []
    for exponent in (1.0, 2.5):
        noise = coloured(white, exponent)
        np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.03)
        alike.append((noise[:, 1:] * noise[:, :-1]).mean(axis=(0, 1)))
        across = (noise[..., 0] * noise[..., 1]).mean()
        assert abs(across) < 0.02  # Time is mixed, actions are not.
    assert np.all(alike[0] > 0.3) and np.all(alike[1] > 0.7)


def test_small_budget(capsys, tmp_path):
    """Through the command, with real physics in two processes."""
    path = tmp_path / "new" / "rows.csv"
    assert main([*_TINY, f"--csv={path}", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    # Looking one decision ahead is worth 330 to 430.
    assert 500 < row["mean"] <= 1000
    assert row["returns"] == [row["mean"]]
    assert row["simulator_steps_per_episode"] == 128_000
    append_row(path, {**row, "command": "again"})
    with open(path) as file:
        first, second = csv.DictReader(file)
    assert first["returns"] == second["returns"] == str(row["mean"])
    assert "--planner_topk=4" in first["command"]


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--task=cup_cach", "cup_cach.*cup_catch"),
        ("--planner_topk=0", "planner_topk.*0 is below 1"),
        ("--planner_topk=2000", "2000.*--planner_amount=1000"),
        ("--csv=/proc/new/rows.csv", "--csv=/proc/new"),
        ("--planner_amount=many", "planner_amount.*many"),
    ],
)
def test_bad_arguments(argument, message, capsys):
    with pytest.raises(SystemExit) as error:
        main([argument])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_rows_need_the_columns_of_their_file(capsys, tmp_path):
    """Before hours of planning, too; the file stays as it is."""
    path = tmp_path / "rows.csv"
    path.write_text("task,mean\ncup_catch,900\n")
    before = path.read_bytes()
    with pytest.raises(SystemExit) as error:
        main([f"--csv={path}"])
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--csv={path}: has other columns (task, mean)" in line
    with pytest.raises(ValueError, match="other columns"):
        append_row(path, {"mean": 900, "task": "cup_catch"})
    assert path.read_bytes() == before
    append_row(path, {"task": "walker_walk", "mean": 990})
    assert path.read_text().split() == [
        "task,mean",
        "cup_catch,900",
        "walker_walk,990",
    ]


def test_bad_task_from_the_command_line():
    """Before TensorFlow and the simulator are loaded."""
    code = "import sys; sys.argv[1:] = ['--task=x']; import runpy\n"
    code += "try: runpy.run_module('scripts.plan_with_simulator', None, "
    code += "'__main__')\nfinally: assert 'tensorflow' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("task", "paper"),
    [("cartpole_swingup", 850), ("ball_in_cup-catch", 993), ("dummy", None)],
)
def test_the_papers_return_stands_beside_ours(task, paper):
    row = report(
        task,
        Budget(),
        [Episode(0, 1.0, 1.0)],
    )
    assert repr(row["paper"]) == repr(paper)  # A whole number.
