"""Commands that show what a trained model predicts, on a tiny run."""

import csv
import dataclasses
import io
import subprocess
import sys

import av
import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

from planet_tf.tools import panels
from planet_tf.tools.replay import Replay
from scripts import create_video, open_loop_errors
from tests import runs

TASKS = ("cup_catch", "cheetah_run")
ROWS = 12  # Of the shortest episode: 5 seen, 7 predicted.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("commands") / "run"
    runs.make(logdir, dataclasses.replace(runs.TINY, tasks=TASKS), [3, 7])
    rng = np.random.default_rng(0)
    replay = Replay(logdir / "test_episodes")
    for task, rows in zip(TASKS, (ROWS, 60), strict=True):
        replay.add(
            {
                "image": rng.integers(0, 256, [rows, 64, 64, 3], np.uint8),
                "action": rng.uniform(-1, 1, [rows, 2]).astype(np.float32),
                "reward": np.full(rows, float(len(task)), np.float32),
            },
            task,
        )
    return logdir


def _files(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_create_video(folder, tmp_path, capsys):
    """Every frame, a block for each task, and nothing else touched."""
    before = _files(folder)
    with flagsaver.as_parsed(
        logdir=str(folder), out=str(tmp_path), sequences="2", checkpoint="3"
    ):
        create_video.main([""])
    assert _files(folder) == before
    last = capsys.readouterr().out.splitlines()[-1]
    assert "after update 3" in last and str(tmp_path / "open_loop.gif") in last
    with Image.open(tmp_path / "open_loop.gif") as gif:
        assert gif.n_frames == ROWS
        size = gif.size
        images = []
        for t in range(ROWS):
            gif.seek(t)
            images.append(np.asarray(gif.convert("RGB")).astype(int))
    with av.open(tmp_path / "open_loop.mp4") as video:
        frames = [frame.to_ndarray() for frame in video.decode(video=0)]
        assert len(frames) == ROWS
        stream = video.streams.video[0]
        assert (stream.width, stream.height) == (
            size[0] + size[0] % 2,
            size[1] + size[1] % 2,
        )
    # Two tasks, three rows each of two sequences, twice as large.
    tall = 2 * 64 + 4
    assert size[1] > 6 * tall and size[0] > 2 * tall
    for t, color in ((4, panels.CONTEXT_COLOR), (5, panels.PREDICTED_COLOR)):
        framed = (np.abs(images[t] - color).max(-1) < 12).mean(axis=1) > 0.5
        # Upper and lower edges of prediction and error, in both blocks.
        assert framed.sum() == 2 * (2 + 4 + 2), (t, framed.sum())


def test_open_loop_errors(folder, tmp_path, capsys):
    """The table on the screen is that of the file."""
    with flagsaver.as_parsed(
        logdir=str(folder), out=str(tmp_path), sequences="3"
    ):
        open_loop_errors.main([""])
    output = capsys.readouterr().out.splitlines()
    assert "after update 7" in output[-1]
    with (tmp_path / "open_loop_errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    places = [(row["task"], int(row["step"])) for row in rows]
    assert places == [(task, k) for task in TASKS for k in range(1, 8)]
    for row in rows:
        # Constant rewards: repeating the last one is right.
        assert float(row["reward_repeat"]) == 0
        assert float(row["reward"]) > 1
        assert float(row["kl"]) > 0
        assert 0.2 < float(row["image_repeat"]) < 0.5  # 1/3 for white noise.
    table = csv.DictReader(
        io.StringIO("\n".join(",".join(x.split()) for x in output[:-1]))
    )
    shown = [(x["task"], x["step"], x["image"]) for x in table]
    assert shown == [
        (row["task"], row["step"], f"{float(row['image']):.4f}")
        for row in rows
        if row["step"] in ("1", "5")
    ]
    with Image.open(tmp_path / "open_loop_errors.png") as plot:
        assert plot.width > 1000


@pytest.mark.parametrize("script", [create_video, open_loop_errors])
def test_bad_input(folder, tmp_path, capsys, script):
    """One line that says what is wrong, and status 2."""
    short = tmp_path / "short"
    runs.make(short, updates=[1])
    for flags, message in (
        ({"logdir": ""}, "--logdir=RUN"),
        ({"logdir": str(tmp_path)}, "holds no run"),
        ({"logdir": str(folder), "checkpoint": "5"}, "only 7, 3"),
        ({"logdir": str(short)}, "held-out episodes"),
    ):
        with flagsaver.as_parsed(**flags), pytest.raises(SystemExit) as end:
            script.main([""])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error


@pytest.mark.parametrize("name", ["create_video", "open_loop_errors"])
def test_command_line(name):
    """A folder without a run is found out before TensorFlow is loaded."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"scripts.{name}"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "--logdir=RUN" in result.stderr
    assert "| tensorflow" not in result.stderr
