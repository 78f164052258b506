"""Commands that show what a trained model predicts, on a tiny run."""

import csv
import dataclasses
import io
import subprocess
import sys
import types

import av
import numpy as np
import pytest
from absl import flags
from PIL import Image

from planet_tf import run_folder
from planet_tf.tools import panels
from planet_tf.tools.files import TEMPORARY
from planet_tf.tools.replay import Replay
from scripts import create_video, open_loop_errors
from tests import runs

TASKS = ("cup_catch", "cheetah_run")
ROWS = 10  # Of the shortest episode: 5 seen, 5 predicted.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("commands") / "run"
    runs.make(logdir, dataclasses.replace(runs.TINY, tasks=TASKS), [3, 7])
    rng = np.random.default_rng(0)
    replay = Replay(logdir / "test_episodes")
    for task, rows in zip(TASKS, (ROWS, 60), strict=True):
        replay.add(
            {
                "image": _plain(rng.integers(0, 256, [rows, 1, 1, 3])),
                "action": rng.uniform(-1, 1, [rows, 2]).astype(np.float32),
                "reward": np.full(rows, float(len(task)), np.float32),
            },
            task,
        )
    # As of an episode that a run is writing at the moment.
    (logdir / "test_episodes" / f"000009-a.npz{TEMPORARY}").touch()
    return logdir


def _plain(colors):
    return np.tile(colors, [1, 64, 64, 1]).astype(np.uint8)


def _files(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_create_video(folder, tmp_path):
    """Every frame, a block for each task, and nothing else touched."""
    before = _files(folder)
    files = create_video.write(run_folder.find(folder, 3), tmp_path, 2)
    assert _files(folder) == before
    assert [path.name for path in files] == ["open_loop.gif", "open_loop.mp4"]
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
    open_loop_errors.write(run_folder.find(folder), tmp_path, 3)
    output = capsys.readouterr().out.splitlines()
    with (tmp_path / "open_loop_errors.csv").open() as file:
        rows = list(csv.DictReader(file))
    places = [(row["task"], int(row["step"])) for row in rows]
    assert places == [(task, k) for task in TASKS for k in range(1, 6)]
    for row in rows:
        # Constant rewards: repeating the last one is right.
        assert float(row["reward_repeat"]) == 0
        assert float(row["reward"]) > 1
        assert float(row["kl"]) > 0
        assert 0.05 < float(row["image_repeat"]) < 0.8
    table = csv.DictReader(
        io.StringIO("\n".join(",".join(x.split()) for x in output))
    )
    shown = [(x["task"], x["step"], x["image"]) for x in table]
    assert shown == [
        (row["task"], row["step"], f"{float(row['image']):.4f}")
        for row in rows
        if row["step"] in ("1", "5")
    ]
    with Image.open(tmp_path / "open_loop_errors.png") as plot:
        assert plot.height > 800


def test_columns_are_below_their_names():
    """Names of tasks and of curves are of any length."""
    lines = open_loop_errors.aligned(
        [["task", "orientations_repeat"], ["manipulator_bring_ball", 0.25]]
    )
    assert lines == [
        "                  task  orientations_repeat",
        "manipulator_bring_ball               0.2500",
    ]


def test_run_without_long_episodes(tmp_path):
    """As when it was stopped while it recorded the first ones."""
    runs.make(tmp_path, updates=[1])
    with pytest.raises(ValueError, match="lacks episodes of cup_catch"):
        create_video.write(run_folder.find(tmp_path), tmp_path)


@pytest.mark.parametrize("command", [create_video, open_loop_errors])
def test_a_run_may_delete_the_newest_checkpoint_meanwhile(
    folder, tmp_path, monkeypatch, capsys, command
):
    """Videos of a run that is going on show what is newest by then."""
    found = runs.delete_meanwhile(monkeypatch, folder)
    values = {"logdir": folder, "checkpoint": None, "out": tmp_path}
    values |= {"sequences": 2, "seed": 0, "scale": 1, "fps": 10}
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**values))
    command.main()
    assert "after update 7: " in capsys.readouterr().out
    assert len(found) == 2 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["create_video", "open_loop_errors"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--logdir=RUN"),
        (["--logdir=/nowhere"], "holds no run"),
        (["--logdir={}", "--checkpoint=5"], "only 7, 3"),
        (["--logdir={}", "--sequences=0"], "sequences"),
        (["--logdir={}", "--sequence=1"], "did you mean"),
    ],
)
def test_bad_input(folder, name, arguments, message):
    """One line and status 2, before TensorFlow is loaded."""
    arguments = [text.format(folder) for text in arguments]
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"scripts.{name}"]
        + arguments,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    (line,) = (x for x in lines if not x.startswith("import time:"))
    assert message in line
    assert "| tensorflow" not in result.stderr
