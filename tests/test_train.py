"""The command itself, on real pixels, as a user runs it."""

import dataclasses
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest
from absl import flags
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

from planet_tf import (
    __version__,
    config,
    config_flags,
    dashboard,
    run_folder,
    totals,
    train,
)
from planet_tf.collects import Collect
from planet_tf.training import trainer
from tests import runs

COMMAND = [sys.executable, "-m", "planet_tf.train", "--task=cup_catch"]
ROOT = pathlib.Path(__file__).parent.parent


def _run(*flags, **environment):
    return subprocess.run(
        [*COMMAND, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=900,
    )


def _points(logdir):
    path = logdir / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _episodes(logdir):
    """By folder and number; one that is played again has another time."""
    paths = logdir.glob("*_episodes/*.npz")
    return {(path.parent.name, path.name.split("-")[0]) for path in paths}


def _start(*flags):
    return subprocess.Popen(
        [*COMMAND, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        # A background job of a shell would leave Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _stop(logdir, number, *flags):
    """Starts a run, and ends it a while after it has logged a point."""
    process = _start(*flags)
    deadline = time.time() + 900
    while not _points(logdir) and time.time() < deadline:
        assert process.poll() is None, "ended before it was stopped"
        time.sleep(0.05)
    time.sleep(random.SystemRandom().uniform(0, 0.5))
    process.send_signal(number)
    return process.communicate(timeout=60)[0], process.returncode


def test_means_of_a_round_whose_losses_were_changed():
    """By a stop amid it, and other flags after that."""
    losses = [
        {"loss": 1.0, "overshooting": 2.0, "skipped": 0.0},
        {"loss": 3.0, "skipped": 0.0},
        {"loss": np.nan, "skipped": 1.0},
    ]
    assert trainer._mean(losses) == {
        "train/loss": 2.0,
        "train/overshooting": 2.0,
        "train/skipped": 1.0,
    }


def test_from_nothing_through_a_stop_to_the_end(tmp_path):
    """One run: seed episodes, updates, planning, tests, videos, resume.

    With compiled functions, it ends as a run that was not stopped.
    """
    logdir = tmp_path / "run"
    flags = ["--config=debug", "--max_steps=80", "--deterministic"]
    flags += ["--num_seed_episodes=2", "--test_seed_episodes=1"]
    reference = _start(*flags, f"--logdir={tmp_path / 'reference'}")
    flags.append(f"--logdir={logdir}")
    number = random.choice([signal.SIGINT, signal.SIGTERM])
    output, status = _stop(logdir, number, *flags)
    assert status == 128 + number and "The same command continues" in output
    before = _episodes(logdir)

    result = _run(*flags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Continuing after update" in result.stdout
    assert str(logdir) in result.stdout.splitlines()[-2]
    assert "tensorboard" in result.stdout.splitlines()[-1]

    # Nothing was lost or skipped, and nothing was counted twice.
    assert before <= _episodes(logdir)
    points = _points(logdir)
    shorter = dataclasses.replace(
        config.PRESETS["debug"],
        max_steps=80,
        num_seed_episodes=2,
        test_seed_episodes=1,
    )
    total = totals.schedule(shorter).total_updates
    output = reference.communicate(timeout=900)[0]
    assert reference.returncode == 0, output
    assert "train seed episode 2 of 2, return: " in output
    # The first round has the start-up in it.
    estimates = ["h left" in x for x in output.splitlines() if "  kl " in x]
    assert estimates == [False] + [True] * (len(estimates) - 1)
    runs.assert_same(tmp_path / "reference", logdir, [*range(2, total + 1)])
    for point in points:
        split = "test" if point["updates"] % 2 == 0 else "train"
        assert f"{split}/score" in point
    last = points[-1]
    played = [
        len(list(logdir.glob(f"{split}_episodes/*.npz")))
        for split in ("train", "test")
    ]
    assert last["episodes"] == played[0]
    # The first of each are random ones: 2 + 3, and 1 + 4.
    assert tuple(played) == totals.episodes(shorter) == (5, 5)
    assert last["agent_steps"] == 20 * last["episodes"]
    assert last["env_steps"] == 50 * last["agent_steps"]

    # What a user looks at.
    with Image.open(logdir / "test_open_loop.gif") as video:
        assert video.n_frames == 21
    with Image.open(logdir / "test_cup_catch.gif") as video:
        assert video.n_frames == 21
    events = event_accumulator.EventAccumulator(
        str(logdir), size_guidance={"images": 0, "scalars": 0}
    )
    tags = events.Reload().Tags()
    assert {"test/open_loop", "test/cup_catch"} <= set(tags["images"])
    for charts in dashboard.CHARTS.values():
        for title, (expression,) in charts.items():
            found = [t for t in tags["scalars"] if re.match(expression, t)]
            several = title == "Image error by task"  # And this is one.
            assert bool(found) != several, f"{title}: {found}"
    # 5 of 21 frames are seen.
    assert len(last["open_loop/image_by_step"]) == 16
    assert last["open_loop/kl_at_15"] == last["open_loop/kl_by_step"][14]
    assert list((logdir / "checkpoints").glob("*.index"))

    # The same folder with other flags is refused, naming what differs.
    result = _run(*flags, "--model_size=12")
    assert result.returncode != 0
    assert "model_size: 10 -> 12" in result.stderr
    assert "Traceback" not in result.stderr


def test_worlds_without_graphics(tmp_path):
    """Trains on the dummy and on Gymnasium, where no frame can be rendered.

    The episodes of the second terminate long before a chunk is full.
    """
    pytest.importorskip("gymnasium")
    result = subprocess.run(
        [
            *COMMAND[:-1],
            "--config=debug",
            "--max_steps=25",
            "--tasks=dummy,gym:tests.fake_gym:FakeFalls-v0",
            f"--logdir={tmp_path}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"MUJOCO_GL": "none"},
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    names = {"dummy", "gym_tests.fake_gym_FakeFalls-v0"}
    last = _points(tmp_path)[-1]
    assert {f"train/return_{name}" for name in names} <= set(last)
    assert last["env_steps"] == 50 * last["agent_steps"]
    files = list((tmp_path / "train_episodes").glob("*-gym_tests.fake_gym_*"))
    assert len(files) == last["episodes"] / 2
    own = [last[f"env_steps_{name}"] for name in names]
    assert sum(own) == last["env_steps"] and min(own) == 100 * len(files)
    for path in files:
        with np.load(path) as episode:
            rewards = [0, sum(range(51)), sum(range(51, 71))]
            np.testing.assert_array_equal(episode["reward"], rewards)
            np.testing.assert_array_equal(episode["terminated"], [0, 0, 1])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--task=gym:tests.fake_gym:Nothing-v0", "There is no gym:tests.fake_"),
        ("--task=gym:tests.fake_gym:FakeButtons-v0", "needs continuous ones"),
        ("--task=gym:tests.fake_gym:FakeCounter-v0", "has only 11 rows"),
        ("--task=no_module:World", "No module named 'no_module'"),
        ("--task=tests.test_check_env:NoSpec", "`spec` has to be"),
        ("--task=tests.test_check_env:FailsAtReset", "check_env tests.test_"),
        ("--task=cup_catch,walker_walk", "Several tasks: --tasks"),
        ("--camera_id=2", "--camera_id=2: cup_catch has only cameras 0 to 1"),
        ("--taks=cup_catch", "taks"),
        ("--num_runs=3", "scripts.run_many --folder="),
        ("--noresume_runs", "The same command continues a run"),
        ("--planner_amuont=3", "planner_amount"),
        ("--planner_topk=2000", "planner_amount"),
        ("--tasks=cup_cath", "cup_catch"),
        ("--params={planer_amount: 3}", "planner_amount"),
        ("stray", "stray"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(tmp_path, flag, message):
    """Never a traceback, never a folder made for a run that cannot be."""
    logdir = tmp_path / "run"
    command = [*COMMAND[:-1], f"--logdir={logdir}", flag]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert not logdir.exists()


def test_no_graphics_is_found_before_anything_is_written(tmp_path):
    """Not behind the lock, where a folder of an error is left."""
    logdir = tmp_path / "new" / "run"
    result = _run(f"--logdir={logdir}", MUJOCO_GL="nonsense")
    assert result.returncode == 2
    reason, which, *_ = result.stderr.splitlines()
    assert reason.startswith("No graphics backend can render an image (MUJOCO")
    assert which.startswith("- nonsense: ")
    assert not logdir.parent.exists()


def test_commands_of_the_readme_are_accepted():
    """An example that is refused is the first thing a user meets."""
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [x for x in lines if x.startswith("python -m planet_tf.train")]
    assert len(commands) >= 3
    # The table of experiments.
    rows = [re.fullmatch(r"\|.*\| `(--.+?)`.*\|", line) for line in lines]
    experiments = [f"python -m planet_tf.train {x[1]}" for x in rows if x]
    assert len(experiments) >= 9
    experiments += [f"{command} --config=cpu" for command in experiments]
    for command in [*commands, *experiments]:
        values = flags.FlagValues()
        config_flags.define(values)
        flags.DEFINE_string("logdir", None, "", flag_values=values)
        values(shlex.split(command)[2:])
        config_flags.read(values)


@pytest.fixture
def command_line(monkeypatch):
    """Of a command in this process, with neither worlds nor signals."""
    values = flags.FlagValues()
    config_flags.define(values)
    flags.DEFINE_string("logdir", None, "", flag_values=values)
    flags.DEFINE_bool("allow_config_change", False, "", flag_values=values)
    monkeypatch.setattr(flags, "FLAGS", values)
    debug = config.PRESETS["debug"]
    monkeypatch.setattr(config_flags, "read", lambda: debug)
    for name in ("choose_backend_for", "stop_in_order"):
        monkeypatch.setattr(train, name, lambda *_: None)
    return values


def test_an_interrupt_before_its_handler(tmp_path, monkeypatch, command_line):
    """Python's own comes without a number."""
    stop = mock.Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(train, "stop_in_order", stop)
    command_line(["train", f"--logdir={tmp_path}"])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    assert stopped.value.code == 130


def test_a_reader_who_leaves_is_no_error(tmp_path, monkeypatch, command_line):
    """As `head` does; `command.run` ends it quietly."""
    leave = mock.Mock(side_effect=BrokenPipeError)
    monkeypatch.setattr(trainer, "train", leave)
    command_line(["train", f"--logdir={tmp_path}"])
    with pytest.raises(BrokenPipeError):
        train.main()
    assert not (tmp_path / "error.txt").exists()


def test_an_empty_logdir_is_refused(monkeypatch, command_line, capsys):
    """As of a shell's variable that is not set."""
    monkeypatch.setattr(trainer, "train", lambda *_: None)
    command_line(["train", "--logdir="])
    with pytest.raises(SystemExit):
        train.main()
    assert "--logdir= is empty" in capsys.readouterr().err


def test_unusable_folders_are_refused(tmp_path):
    """In one line, and without touching the folder of another process."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        result = _run(f"--logdir={folder}")
        assert result.returncode == 2
        assert "Choose a folder" in result.stderr
        assert "Traceback" not in result.stderr
    with run_folder.locked(tmp_path / "run"):
        result = _run(f"--logdir={tmp_path / 'run'}")
    assert result.returncode == train.IN_USE == 75
    assert "Another process is using" in result.stderr
    assert [p.name for p in (tmp_path / "run").iterdir()] == [".lock"]


def test_refused_run_leaves_nothing_behind(tmp_path):
    """Found out before the lock, or in the worlds while it is held."""
    config.save(config.Config(), tmp_path / "config.yaml")
    result = _run(f"--logdir={tmp_path}", "--config=cpu")
    assert result.returncode == 2
    assert "holds a run with another config" in result.stderr
    for folder in (tmp_path, tmp_path / "new" / "run"):
        with pytest.raises(config.ConfigError), run_folder.locked(folder):
            assert (folder / ".lock").exists()
            raise config.ConfigError
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_help_is_quick_and_lists_the_flags():
    """Importing TensorFlow for a help text takes seconds."""
    start = os.times()
    result = subprocess.run(
        [*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    end = os.times()
    assert "--planner_amount" in result.stdout
    assert "--logdir" in result.stdout
    spent = end.children_user - start.children_user
    # TensorFlow's import alone takes 3 s of processor time.
    assert spent < 2, spent


def test_changed_config_needs_permission(tmp_path):
    """Otherwise a typo on resuming silently changes the experiment."""
    run_folder.prepare(config.Config(), tmp_path, change=False)
    config.save(config.Config(), tmp_path / "config.yaml")
    run_folder.prepare(config.Config(), tmp_path, change=False)
    other = config.Config(seed=1)
    with pytest.raises(ValueError, match="seed: 0 -> 1"):
        run_folder.prepare(other, tmp_path, change=False)
    run_folder.prepare(other, tmp_path, change=True)


_EXPLORER = Collect(name="explorer", objective="disagreement", until=20_000)


@pytest.mark.parametrize("change", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"value_loss_scale": 1.0},
        {"collect_objective": "disagreement"},
        {"train_collects": (Collect(), _EXPLORER)},
    ],
)
def test_networks_do_not_come_and_go(tmp_path, options, change):
    """Else the run's checkpoints would look damaged."""
    plain, other = config.Config(), config.Config(**options)
    for old, new, word in ((plain, other, "on"), (other, plain, "off")):
        config.save(old, tmp_path / "config.yaml")
        with pytest.raises(ValueError, match=f"cannot be switched {word} in"):
            run_folder.prepare(new, tmp_path, change)


def test_what_networks_are_for_may_change(tmp_path):
    """Weights of losses, and when an explorer ends."""
    collects = [
        (Collect(), dataclasses.replace(_EXPLORER, until=until))
        for until in (20_000, 30_000)
    ]
    old, new = (
        config.Config(value_loss_scale=scale, train_collects=some)
        for scale, some in zip((1.0, 2.0), collects, strict=True)
    )
    config.save(old, tmp_path / "config.yaml")
    run_folder.prepare(new, tmp_path, change=True)


def test_another_version_says_so(tmp_path):
    """Two versions in one run may be neither the one nor the other."""
    path = tmp_path / "config.yaml"
    config.save(config.Config(), path)
    text = path.read_text()
    assert f"version: {__version__}\n" in text
    for written, found in (("version: 9.0", "9.0"), ("", "unknown")):
        path.write_text(text.replace(f"version: {__version__}", written))
        with pytest.raises(ValueError, match=f"planet_tf: {found} -> "):
            run_folder.prepare(config.Config(), tmp_path, change=False)
        run_folder.prepare(config.Config(), tmp_path, change=True)
    path.write_text("version: 9.0\nnew_parameter: 3\n")
    with pytest.raises(ValueError, match="new_parameter. Version 9.0 of"):
        run_folder.prepare(config.Config(), tmp_path, change=False)
