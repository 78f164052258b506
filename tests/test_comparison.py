"""Figures of a comparison against figures worked out by hand."""

import dataclasses
import json
import math
import pathlib
import re
import time

import matplotlib.colors
import numpy as np
import pytest

from planet_tf import config as configs
from planet_tf import evaluation_report
from planet_tf.collects import Collect
from planet_tf.control.tasks import canonical, label
from scripts.comparison import (
    figures,
    published,
    runs,
    simulator,
    statistics,
    tables,
)


def make_run(
    folder, returns, preset="cpu", task="cup_catch", seed=0, **changes
):
    """A run that was tested every 10,000 steps and half hours."""
    folder.mkdir(parents=True)
    config = dataclasses.replace(
        configs.PRESETS[preset], tasks=(task,), seed=seed, **changes
    )
    configs.save(config, folder / "config.yaml")
    with (folder / "metrics.jsonl").open("w") as file:
        for i, value in enumerate(returns, 1):
            point = {
                "updates": 100 * i,
                "env_steps": 10_000 * i,
                "time/total": 1800.0 * i,
                "wall_time": time.time(),
                f"test/return_{label(task)}": value,
            }
            # Episodes between tests have lines without a test.
            between = {
                "updates": 100 * i - 50,
                "env_steps": 10_000 * i - 1000,
                "wall_time": time.time(),
            }
            file.write(f"{json.dumps(between)}\n{json.dumps(point)}\n")
    return folder


def read(*folders):
    """The results of several runs; none of them has a problem."""
    results = []
    for folder in folders:
        found, problems = runs.read(folder)
        assert not problems
        results += found
    return results


def row(table, **values):
    """The only row of a table with these values, by column."""
    rows = [dict(zip(table.columns, r, strict=True)) for r in table.rows]
    (found,) = (
        r for r in rows if all(r[name] == v for name, v in values.items())
    )
    return found


def by_name(folders, references=()):
    made = tables.make_all(read(*folders), references)
    return {table.name: table for table in made}


def test_run_is_read(tmp_path):
    """The last five of six tests count: mean of 10, 20, 30, 40, 50."""
    folder = make_run(tmp_path / "r", [900.0, 10, 20, 30, 40, 50], seed=3)
    (result,) = read(folder)
    assert (result.final, result.episodes, result.seed) == (30, 5, 3)
    assert (result.updates, result.trained_steps) == (600, 60_000)
    assert result.trained_hours == 3
    np.testing.assert_array_equal(result.env_steps, 1e4 * np.arange(1, 7))
    np.testing.assert_array_equal(result.hours, 0.5 * np.arange(1, 7))


def test_curve_has_what_stood_at_each_test(tmp_path):
    """The mean of the ten training episodes before: of 12, 3 to 12, is 7.5."""
    folder = make_run(tmp_path / "r", [])
    lines = [
        {
            "updates": 10 * i,
            "episodes": 5 + i,
            "env_steps": 1000 * i,
            "train/return_cup_catch": float(i),
            "train/return_walker_walk": 500.0,
        }
        for i in range(1, 14)
    ]
    # The last one is logged after the test.
    tests = {"test/return_cup_catch": 900.0, "test/image": -11.0}
    test = {"updates": 125, "episodes": 17, "env_steps": 12_000, **tests}
    lines.insert(12, test | {"test/kl": None, "time/total": 36.0})
    first = {"updates": 0, "env_steps": 0, "test/return_cup_catch": 1.0}
    with (folder / "metrics.jsonl").open("a") as file:
        for line in (first, *lines):
            file.write(json.dumps(line) + "\n")
    (result,) = read(folder)
    before, at = result.curve
    assert math.isnan(before["training_return"])
    assert (at["updates"], at["episodes"]) == (125, 17)
    assert (at["test_return"], at["training_return"]) == (900, 7.5)
    assert (at["hours"], at["test/image"]) == (0.01, -11)
    assert math.isnan(at["test/kl"]) and math.isnan(at["test/reward"])


def test_machines_and_commits_of_all_starts(tmp_path):
    """Each once; a damaged line and older runs tell nothing."""
    folder = make_run(tmp_path / "r", [1.0])
    assert row(by_name([folder])["runs"], commits="–")["machine"] == "–"
    start = {"processor": "CPU", "cores": 2, "gpus": [], "commit": "abc"}
    starts = [
        start,
        start,
        start | {"cores": 1, "gpus": ["H100"], "commit": None},
    ]
    text = "\n".join(map(json.dumps, starts)) + '\n{"cores": 1\n[]\n'
    text += '{"processor": "X", "cores": 1, "gpus": []}\n'
    (folder / "machine.jsonl").write_text(text)
    found = row(by_name([folder])["runs"], commits="abc, unknown")
    assert found["machine"] == "CPU, 2 cores; CPU, 1 core, H100"


def test_unfinished_line_is_no_problem_but_a_damaged_one_is(tmp_path):
    """A run that is still going may be in the middle of a line."""
    folder = make_run(tmp_path / "r", [1.0, 3.0])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"updates": 300, "env_st')
    assert read(folder)[0].final == 2
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('\n{"updates": 300, "env_steps": 30000}\n')
    (result,), problems = runs.read(folder)
    assert result.updates == 300
    assert len(problems) == 1 and "line 5" in problems[0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("test/return_cup_catch", '"high"', "'high', not a number"),
        ("time/total", "[1]", r"\[1\], not a number"),
        ("updates", "1e999", "not finite"),
        ("env_steps", "null", "None, not a number"),
        ("updates", "1" + "0" * 400, "not finite"),
    ],
)
def test_damaged_value_is_named(tmp_path, name, value, message):
    """With file and line; the other lines are used."""
    folder = make_run(tmp_path / "r", [1.0, 3.0])
    path = folder / "metrics.jsonl"
    point = {"updates": "300", "env_steps": "30000", name: value}
    pairs = ", ".join(f'"{key}": {text}' for key, text in point.items())
    with path.open("a") as file:
        file.write(f"{{{pairs}}}\n")
    (result,), (problem,) = runs.read(folder)
    assert (result.final, result.updates) == (2, 200)
    assert re.match(f"{path}, line 5: .*{name} is {message}$", problem)


def test_return_that_is_not_finite_is_no_test(tmp_path):
    """Training writes null for it; other values may be lists."""
    folder = make_run(tmp_path / "r", [1.0, 3.0])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"updates": 300, "env_steps": 30000, "a_by_step": [1], ')
        file.write('"test/return_cup_catch": null}\n')
    (result,) = read(folder)
    assert (result.final, result.updates) == (2, 300)


def test_nothing_is_filled_in_before_the_first_test(tmp_path):
    folder = make_run(tmp_path / "r", [])
    (result,) = read(folder)
    assert math.isnan(result.final) and result.source == "no test yet"
    made = by_name([folder], published.read())
    ours = "planet_tf cpu: median return"
    assert math.isnan(row(made["returns"], task="cup_catch")[ours])
    assert not made["efficiency"].rows and not made["intervals"].rows
    (folder / "metrics.jsonl").unlink()
    (result,), problems = runs.read(folder)
    assert math.isnan(result.final) and "no metrics.jsonl" in problems[0]


def evaluate(folder, checkpoint, returns, **planner):
    """What `planet_tf.evaluate` writes, as far as it is read."""
    episodes = [{"reward": np.array([0.0, value])} for value in returns]
    played = evaluation_report.Played([1] * len(returns), episodes, [], 12)
    tasks = {"cup_catch": evaluation_report.summary(played)}
    path = folder / f"evaluation/{checkpoint}/evaluation.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"checkpoint": checkpoint, **planner, "tasks": tasks})
    )
    return path


def test_newest_evaluation_replaces_tests(tmp_path):
    """Several episodes of one agent say more than 5 of several."""
    folder = make_run(tmp_path / "r", [0.0] * 10)
    evaluate(folder, 200, [5.0])
    evaluate(folder, 1000, [10.0, 20, 60], planner_overrides={})
    other = {"planner_horizon": 13}  # Not this agent.
    evaluate(folder, 1100, [900.0], planner_overrides=other)
    evaluate(folder, 1200, [900.0], planner_overrides={}, policy=True)
    (result,) = read(folder)
    assert (result.final, result.episodes) == (30, 3)
    assert result.source == "evaluation at update 1,000"
    assert result.trained_steps == 100_000
    assert len(result.returns) == 10


def test_later_tests_outrank_an_early_evaluation(tmp_path):
    """What a run had learned half-way is not what it has come to."""
    folder = make_run(tmp_path / "r", [0.0] * 7 + [500.0] * 5)
    evaluate(folder, 600, [3.0])
    (result,) = read(folder)
    assert (result.final, result.episodes) == (500, 5)
    assert result.source == "tests up to update 1,200"
    assert result.trained_steps == 120_000


def test_of_one_checkpoint_the_evaluation_of_most_episodes_counts(tmp_path):
    """In whatever order a folder lists them; then that of seed 0."""
    folder = make_run(tmp_path / "r", [0.0])
    for name, returns, seed in (
        ("one", [900.0], 0),
        ("other_worlds", [10.0, 20], 1),
        ("whole", [30.0, 40], 0),
        ("others", [50.0, 60], 2),
    ):
        path = evaluate(folder, 100, returns, seed=seed)
        path.parent.rename(path.parents[1] / name)
    (result,) = read(folder)
    assert (result.final, result.episodes) == (35, 2)


def test_tasks_whose_names_are_no_names_of_files(tmp_path):
    """Metrics have other letters for colons."""
    folder = make_run(tmp_path / "r", [10.0, 20], task="gym:my_module:Own-v0")
    (result,) = read(folder)
    assert (result.task, result.final) == ("gym:my_module:Own-v0", 15)


def test_damaged_evaluation_is_named(tmp_path):
    folder = make_run(tmp_path / "r", [7.0])
    path = evaluate(folder, 100, [5.0])
    path.write_text(path.read_text()[:-9])
    (result,), problems = runs.read(folder)
    assert (result.final, result.source) == (
        7,
        "tests up to update 100",
    )
    assert len(problems) == 1 and str(path) in problems[0]


def test_metrics_as_csv(tmp_path):
    """Empty cells are no tests; the same names as in metrics.jsonl."""
    folder = make_run(tmp_path / "r", [1.0])
    (folder / "metrics.jsonl").unlink()
    (folder / "metrics.csv").write_text(
        "updates,env_steps,time/total,test/return_cup_catch\n"
        "100,1000,1800,5\n200,2000,3600,\n"
    )
    (result,) = read(folder)
    assert (result.final, result.updates, result.trained_steps) == (
        5,
        200,
        1000,
    )


def test_agents_are_told_apart_by_what_differs(tmp_path):
    def name(preset, **changes):
        config = dataclasses.replace(configs.PRESETS[preset], **changes)
        configs.save(config, tmp_path / "config.yaml")
        return read(tmp_path)[0].agent

    (tmp_path / "metrics.jsonl").touch()
    assert name("default") == "default"
    # Longer, with another seed, on another task: the same agent.
    assert name("cpu", seed=7, max_steps=5, tasks=("walker_walk",)) == "cpu"
    changed = name("default", model="ssm", batch_shape=(16, 25), mean_only=True)
    assert changed == "default, batch_shape=16x25, model=ssm, mean_only=true"
    # Older runs lack parameters, and have some that are gone.
    assert runs.agent_name({"long_gone": "float32"}) == "default"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2,3\n1,two,3\n", "row 3, column env_steps: 'two' is not a number"),
        (b"1,,3\n", "row 2: no value for env_steps"),
        (b"1,2,3,4\n", "row 2: more cells than in the header"),
        (b"1,2,\xff\n", "is damaged"),
    ],
)
def test_damaged_metrics_csv_is_named(tmp_path, content, message):
    """In one line that says where to look."""
    folder = make_run(tmp_path / "r", [])
    (folder / "metrics.jsonl").unlink()
    path = folder / "metrics.csv"
    path.write_bytes(b"updates,env_steps,x\n" + content)
    with pytest.raises(ValueError, match=f"^{path}.*{message}[^\n]*$"):
        runs.read(folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ball_in_cup_catch", "cup_catch"),
        ("ball_in_cup-catch", "cup_catch"),
        ("walker-walk", "walker_walk"),
        ("hopper-hop", "hopper-hop"),
        ("cup_catch", "cup_catch"),
    ],
)
def test_one_name_for_a_task(name, expected):
    assert canonical(name) == expected


def test_task_under_its_other_name_finds_its_returns(tmp_path):
    """The metrics have the name that was typed."""
    (result,) = read(make_run(tmp_path / "r", [7.0], task="ball_in_cup-catch"))
    assert (result.task, result.final) == ("cup_catch", 7)


def test_newest_video_of_each_name(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in ("a-0000100", "a-0000200", "test_b-0000100"):
        (tmp_path / f"videos/{name}.gif").touch()
    found = [path.stem for path in runs.videos(tmp_path)]
    assert found == ["a-0000200", "test_b-0000100"]
    (tmp_path / "a.gif").touch()
    assert [path.stem for path in runs.videos(tmp_path)] == ["a"]
    for checkpoint in ("900", "1000"):  # In numerical order.
        (tmp_path / "evaluation" / checkpoint).mkdir(parents=True)
        (tmp_path / f"evaluation/{checkpoint}/e{checkpoint}.gif").touch()
    assert [path.stem for path in runs.videos(tmp_path)] == ["a", "e1000"]


def test_summary_by_hand():
    """Of 8 scores the 2 lowest and the 2 highest are cut off."""
    summary = statistics.summarize([[0, 900, 10, 20, 30, 40, 1000, 5]])
    assert summary.count == 8
    assert summary.median == 25  # Of 20 and 30.
    assert summary.iqm == 25  # Of 10, 20, 30, 40.
    assert 5 < summary.low < 25 < summary.high < 1000


def test_interval_is_stratified():
    """Seeds of one task vary, of the other not; tasks keep their share."""
    summary = statistics.summarize([[0, 0], [90, 110]])
    # All 4 scores with 1 cut off at each end: 0 and the lower of two out of
    # (90, 110), which is 90 with three chances in four.
    assert summary.iqm == 45
    assert (summary.low, summary.high) == (45, 55)


def test_single_seeds_have_no_interval():
    for samples in ([[5]], [[5], [1, 2, 3]]):
        summary = statistics.summarize(samples)
        assert math.isnan(summary.low) and math.isnan(summary.high)
    equal = statistics.summarize([[0, 0, 0]])
    assert (equal.iqm, equal.low, equal.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="no scores"):
        statistics.summarize([[]])


def test_common_curve_makes_nothing_up():
    """Interpolated inside, cut where one seed has not been."""
    first = np.array([10.0, 20, 30, 40]), np.array([0.0, 10, 20, 30])
    second = np.array([15.0, 35]), np.array([100.0, 300])
    x, returns = statistics.common_curve([first, second])
    np.testing.assert_array_equal(x, [20, 30])
    np.testing.assert_allclose(returns, [[10, 20], [150, 250]])


@pytest.mark.parametrize(
    ("target", "is_curve", "expected"),
    [
        (100, True, ("<=", 1000)),  # Had it at the first point already.
        (150, True, ("=", 1500)),  # Half-way between two points.
        (150, False, ("<=", 2000)),  # Two papers' points are no curve.
        (180, True, ("=", 1800)),  # The first time, not the last.
        (900, True, (">", 3000)),
    ],
)
def test_steps_to_reach(target, is_curve, expected):
    relation, steps = statistics.steps_to_reach(
        [1000, 2000, 3000], [100, 200, 190], target, is_curve
    )
    assert (relation, steps) == (expected[0], pytest.approx(expected[1]))


def test_tables_by_hand(tmp_path):
    """Three seeds of one agent beside invented references."""
    folders = [
        make_run(tmp_path / f"s{seed}", [level] * 2, seed=seed)
        for seed, level in enumerate([100.0, 150.0, 500.0])
    ]
    references = [
        published.Reference("A3C", "cup_catch", (1e8,), (105.0,), False),
        published.Reference("D4PG", "cup_catch", (1e8,), (980.0,), False),
        published.Reference(
            published.CURVE, "cup_catch", (1e5, 2e5), (100.0, 200.0), True
        ),
    ]
    made = by_name(folders, references)
    ours = "planet_tf cpu"

    returns = row(made["returns"], task="cup_catch")
    assert returns[f"{ours}: median return"] == 150
    assert (returns["seeds"], returns["median steps"]) == (3, 20_000)
    assert returns["D4PG (pixels, 100,000 episodes)"] == 980
    not_run = row(made["returns"], task="walker_walk")
    assert math.isnan(not_run[f"{ours}: median return"])
    assert not_run["seeds"] == 0

    interval = row(made["intervals"], task="cup_catch")
    assert interval["interquartile mean"] == 250  # Nothing is cut off of 3.
    assert interval["95 % interval"] == "100.0 to 500.0"

    # The curve has 150 at 150,000 steps; ours at 20,000: 7.5 times as many.
    curve = row(made["efficiency"], reference=published.CURVE)
    assert (curve["bound"], curve["factor"]) == ("=", 7.5)
    a3c = row(made["efficiency"], reference="A3C")
    assert (a3c["bound"], a3c["factor"]) == (">", 5000)
    d4pg = row(made["efficiency"], reference="D4PG")
    assert (d4pg["bound"], d4pg["factor"]) == ("<=", 5000)


def test_budgets_only_where_every_seed_has_come(tmp_path):
    """Returns rise by 10 every 10,000 steps; one seed stops at 100,000."""
    folders = [
        make_run(tmp_path / "a", [10.0 * i for i in range(60)], seed=0),
        make_run(tmp_path / "b", [30.0] * 10, seed=1),
    ]
    made = by_name(folders, published.read())["budgets"]
    early = row(made, task="cup_catch", **{"environment steps": 100_000})
    assert early["planet_tf cpu"] == 60  # Median of 90 and 30.
    assert early["Dreamer (TF2)"] == 74  # At 105,000.
    late = row(made, task="cup_catch", **{"environment steps": 500_000})
    assert math.isnan(late["planet_tf cpu"])
    # The curve at 500,000 itself, not at a point that is merely near.
    assert late[published.CURVE] == 623
    assert late[published.MISALIGNED] == 460


def test_all_tasks_together(tmp_path):
    """One row over tasks, and no interval when a task has a single seed."""
    folders = [
        make_run(tmp_path / "a", [10.0], seed=0),
        make_run(tmp_path / "b", [20.0], seed=1),
        make_run(tmp_path / "c", [60.0], task="walker_walk"),
    ]
    interval = row(by_name(folders)["intervals"], task="all 2 tasks")
    assert (interval["scores"], interval["median"]) == (3, 20)
    assert interval["95 % interval"] == "single seed"


@pytest.mark.parametrize(
    "other", [{"preset": "debug"}, {"task": "gym:HalfCheetah-v5"}]
)
def test_all_tasks_only_where_they_can_be_compared(tmp_path, other):
    """Not where another agent has other tasks, or returns another scale."""
    folders = [
        make_run(tmp_path / "a", [10.0]),
        make_run(tmp_path / "b", [60.0], task="walker_walk"),
        make_run(tmp_path / "c", [500.0], **other),
    ]
    rows = by_name(folders)["intervals"].rows
    assert len(rows) == 3 and not any("all" in row[1] for row in rows)


def test_published_file_holds_the_papers_table():
    """Spot checks against the paper's Table 1."""
    references = published.read()

    def final(method, task):
        return published.find(references, method, task).returns[-1]

    planet = [final(published.PLANET, task) for task in published.TASKS]
    assert planet == [821, 832, 662, 700, 930, 951]
    simulator = [final(published.SIMULATOR, task) for task in published.TASKS]
    assert simulator == [850, 964, 656, 825, 993, 994]
    for task in published.TASKS:
        curve = published.find(references, published.CURVE, task)
        assert len(curve.returns) == 20 and curve.env_steps[-1] == 1e6
    assert {r.method for r in references} >= {*published.LATER, "A3C", "D4PG"}


def test_damaged_published_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="published.csv cannot be read"):
        published.read(tmp_path)
    path = tmp_path / "published.csv"
    header = "method,task,env_steps,return_mean\n"
    for content, message in (
        ("method,task\nA3C,cup_catch\n", ", row 2: no value for env_steps"),
        (header + "A3C,cup_catch,1e8,\n", ", row 2: no value for return_mean"),
        (
            header + "A3C,cup_catch,1e8,5\nA3C,cup_catch,1e8,five\n",
            ", row 3, column return_mean: 'five' is not a number",
        ),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"published.csv{message}"):
            published.read(tmp_path)


HEADER = (
    "task,candidates,elites,iterations,horizon,noise_exponent,warm_start,"
    "returns\n"
)


def test_planner_on_the_simulator_by_hand(tmp_path):
    """Small searches first; tasks without any are shown as missing."""
    path = tmp_path / "planner.csv"
    path.write_text(
        f"{HEADER}ball_in_cup-catch,1000,100,10,12,0.0,False,990\n"
        "cup_catch,50,5,3,12,1.0,True,700.0 900.0\n"
        "cartpole_balance,50,5,3,12,0.0,False,400\n"
    )
    made = simulator.table(simulator.read(path), published.read())
    paper = "paper: 1,000 x 10 x 12"
    assert [made.rows[i][-1] for i in range(4)] == [850, 964, 656, 825]
    cells = [r for r in made.cells() if r[0] == "cup_catch"]
    assert cells == [
        ["cup_catch", "50 x 3 x 12", "warm start, noise 1/f^1", "5", "2"]
        + ["800.0", "100.0", "990.0", "993"],
        ["cup_catch", "1,000 x 10 x 12", "plain", "100", "1"]
        + ["990.0", "–", "990.0", "993"],
    ]
    missing = row(made, task="walker_walk")
    assert missing.pop(paper) == 994
    assert missing.pop("task") == "walker_walk"
    assert all(x == "–" or math.isnan(x) for x in missing.values())
    # Not the paper's.
    assert math.isnan(row(made, task="cartpole_balance")[paper])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a,50,5,3,12,0.0,False,9 nine",
            "row 2, column returns: 'nine' is not",
        ),
        ("a,50,5,3,many,0.0,False,9", "row 2, column horizon: 'many' is not"),
        ("a,50,5,3,12,0.0,False,", "row 2: no value for returns"),
    ],
)
def test_damaged_file_of_the_planner_is_named(tmp_path, line, message):
    path = tmp_path / "planner.csv"
    path.write_text(f"{HEADER}{line}\n")
    with pytest.raises(ValueError, match=f"^{path}, {message}"):
        simulator.read(path)


def test_table_in_three_formats():
    table = tables.Table(
        "t",
        "T & U",
        ("name", "return"),
        [("a<b", 1234.56), ("c", math.nan)],
        "n",
    )
    assert "| a<b | 1,235 |\n| c | – |" in table.markdown()
    assert table.csv() == "name,return\na<b,1234.56\nc,\n"
    assert "<td>a&lt;b</td><td class=number>1,235</td>" in table.html()
    assert "T &amp; U" in table.html()


def test_multi_task_run_is_called_so(tmp_path):
    """Its environment steps are each task's own, if it has logged them."""
    folder = make_run(tmp_path / "r", [10.0])
    path = folder / "metrics.jsonl"
    *_, line = path.read_text().splitlines()
    own = {"env_steps_cup_catch": 3000, "updates": 200, "env_steps": 20_000}
    with path.open("a") as file:
        file.write(json.dumps(json.loads(line) | own) + "\n")
    config = configs.load(folder / "config.yaml")
    config = dataclasses.replace(config, tasks=("cup_catch", "walker_walk"))
    configs.save(config, folder / "config.yaml")
    first, second = read(folder)
    assert first.label == second.label == "cpu, cup_catch + walker_walk"
    assert (first.task, first.final) == ("cup_catch", 10)
    assert first.env_steps.tolist() == [10_000, 3000]
    assert first.trained_steps == 3000
    assert second.task == "walker_walk"
    assert math.isnan(second.final)


def test_long_names_are_cut_where_that_tells_agents_apart(tmp_path):
    """Columns and legends have no room for every changed value."""
    changes = {"batch_shape": (3, 7), "num_units": 7, "model_size": 9}
    folders = [
        make_run(tmp_path / str(i), [10.0], **changes, state_size=i)
        for i in (3, 4)
    ]
    (first,) = read(folders[0])
    (short,) = tables.group([first])
    assert re.fullmatch(r"planet_tf \w+, \w+=\w+ and \d more", short)
    several = dataclasses.replace(first, tasks=("walker_walk", "cup_catch"))
    (name,) = tables.group([several])
    assert name == f"{short}, cup_catch + walker_walk"
    whole = tables.group(read(*folders))
    assert len(whole) == 2 and all("num_units=7" in name for name in whole)


def test_names_are_not_cut_within_a_list(tmp_path):
    """Half a collector says nothing."""
    collects = (Collect(name="a", every=5, until=9), Collect(name="b"))
    folder = make_run(tmp_path / "run", [10.0], train_collects=collects)
    (short,) = tables.group(read(folder))
    assert short.endswith("}]"), short


def test_nothing_published_looks_like_a_run_or_hides_another(tmp_path):
    """Colors belong to runs; markers at one number of steps stand apart."""
    changes = [{}, *({"model_size": size} for size in range(8, 13))]
    folders = [
        make_run(tmp_path / str(i), [10.0, 20], **change)
        for i, change in enumerate(changes)
    ]
    groups = tables.group(read(*folders))
    references = [
        published.Reference(method, "cup_catch", (1e5,), (500.0,), False)
        for method in (published.PLANET, *published.LATER)
    ]
    fig = figures.over_steps(groups, ["cup_catch"], references)
    (ax,) = fig.axes
    ours = [x for x in ax.lines if x.get_label().startswith("planet_tf")]
    others = [x for x in ax.lines if x not in ours]
    assert len(ours) == 6 and len(others) == 5
    assert len({line.get_color() for line in ours}) == 6
    for line in others:
        red, green, blue = matplotlib.colors.to_rgb(line.get_color())
        assert red == green == blue
    pixels = [x.get_transform().transform(x.get_xydata())[0] for x in others]
    apart = np.diff(np.sort(np.array(pixels)[:, 0])) * 72 / fig.dpi
    assert apart.min() > others[0].get_markersize()
    assert np.ptp(np.array(pixels)[:, 1]) < 1e-6
    (legend,) = fig.legends  # The picture says so itself.
    assert "moved aside" in legend.get_title().get_text()


def test_published_run_is_read():
    """The config of an older version has a parameter that is gone."""
    folder = pathlib.Path(published.FOLDER) / "earlier" / "noise_ramp"
    (result,) = read(folder / "cup_catch")
    # What the preset has learned since is told apart.
    assert result.agent.startswith("cpu, conv_activation=relu")
    assert result.episodes == 10
