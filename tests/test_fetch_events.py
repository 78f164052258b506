"""What TensorBoard shows is what the CSV files hold."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from planet_tf.tools.summaries import Logger
from scripts import fetch_events


def log(folder, steps, resume=None, scale=1.0):
    """A run that logs its step and twice its step, and a video."""
    with Logger(folder, resume) as logger:
        for step in steps:
            counters = {"updates": step, "env_steps": 10 * step}
            logger.scalars(
                counters, {"test/a": scale * step, "train/b": 2.0 * step}
            )
        logger.video(counters, "test/v", np.zeros([2, 4, 4, 3], np.uint8))
    return max(folder.glob("*tfevents*"))


def run(logdirs, outdir, tags="*"):
    return fetch_events.main(
        [f"--logdirs={logdirs}", f"--tags={tags}", f"--outdir={outdir}"]
    )


def points(outdir, end):
    """Steps and values of the only file with this ending."""
    (path,) = outdir.glob(f"*{end}")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["wall_time"]) > 1e9 for row in rows)
    return [(int(row["step"]), float(row["value"])) for row in rows]


def test_scalars_become_csv_files(tmp_path, capsys):
    """Those that match; nothing for the video."""
    log(tmp_path / "runs/x", [1, 2])
    log(tmp_path / "runs/y", [1])
    out = tmp_path / "out"
    assert run(f"{tmp_path}/runs/*", out, "test/*") == 0
    assert len(list(out.glob("*.csv"))) == 2
    assert points(out, "runs_x___test_a.csv") == [(10, 1), (20, 2)]
    assert points(out, "runs_y___test_a.csv") == [(10, 1)]
    assert str(out) in capsys.readouterr().out.splitlines()[-1]


def test_resumed_run_has_every_point_once(tmp_path):
    """As in TensorBoard: a later file replaces what was made again."""
    log(tmp_path / "x", [1, 2, 3])
    log(tmp_path / "x", [3, 4], resume=2, scale=-1.0)
    assert run(tmp_path / "x", tmp_path / "out") == 0
    expected = [(10, 1), (20, 2), (30, -3), (40, -4)]
    assert points(tmp_path / "out", "test_a.csv") == expected


def test_scalars_of_the_newer_kind(tmp_path):
    """`tf.summary.scalar` writes tensors."""
    writer = tf.summary.create_file_writer(str(tmp_path / "x"))
    with writer.as_default():
        tf.summary.scalar("a", 0.5, step=7)
        tf.summary.histogram("h", [1.0, 2.0], step=7)
    writer.close()
    assert run(tmp_path / "x", tmp_path / "out") == 0
    assert points(tmp_path / "out", "___a.csv") == [(7, 0.5)]


def test_what_is_done_is_skipped_until_it_changes(tmp_path, capsys):
    log(tmp_path / "x", [1])
    log(tmp_path / "y", [1])
    out = tmp_path / "out"

    def count(tags="t*"):
        assert run(f"{tmp_path}/[xy]", out, tags) == 0
        return int(capsys.readouterr().out.split()[0])

    assert count() == 4
    assert count() == 0
    log(tmp_path / "x", [2])  # It goes on.
    assert count() == 2
    assert points(out, "x___test_a.csv") == [(10, 1), (20, 2)]
    next(out.glob("*y___test_a.csv")).unlink()
    assert count() == 2
    assert count("test/*") == 2  # What was asked for changed.
    assert count("test/*") == 0


def test_end_of_a_run_that_is_going_on(tmp_path, capsys):
    """A record that is not complete yet is no damage."""
    path = log(tmp_path / "x", [1, 2])
    path.write_bytes(path.read_bytes()[:-5])
    assert run(tmp_path / "x", tmp_path / "out") == 0
    assert not capsys.readouterr().err
    assert len(points(tmp_path / "out", "test_a.csv")) == 2


@pytest.mark.parametrize("place", ["length", "content"])
def test_damage_is_one_line_and_the_rest_is_fetched(tmp_path, capsys, place):
    """Every checksum counts; what is before the damage is used."""
    path = log(tmp_path / "x", [1, 2, 3])
    log(tmp_path / "y", [1])
    data = bytearray(path.read_bytes())
    ends = [i for i in range(len(data)) if data.startswith(b"test/a", i)]
    record = data.rindex(b"\x09", 0, ends[1])  # Begins with the wall time.
    # A record that seems to be huge would end with the file, like an
    # unfinished one.
    data[ends[1] + 8 if place == "content" else record - 12 + 5] ^= 1
    path.write_bytes(bytes(data))
    assert run(f"{tmp_path}/[xy]", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{path} is damaged" in error
    assert points(tmp_path / "out", "x___test_a.csv") == [(10, 1)]
    assert points(tmp_path / "out", "y___test_a.csv") == [(10, 1)]


@pytest.mark.parametrize(
    ("logdirs", "tags", "message"),
    [("nothing*", "*", "no folder"), ("x", "nothing*", "no scalar")],
)
def test_globs_that_match_nothing(tmp_path, capsys, logdirs, tags, message):
    log(tmp_path / "x", [1])
    assert run(tmp_path / logdirs, tmp_path / "out", tags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_folders_that_would_share_files(tmp_path, capsys):
    """a/b and a_b are both called a_b: one must not replace the other."""
    log(tmp_path / "a/b", [1])
    log(tmp_path / "a_b", [2])
    assert run(f"{tmp_path}/a*", tmp_path / "out") == 2
    assert "skipped, its files have" in capsys.readouterr().err
    assert points(tmp_path / "out", "test_a.csv") == [(10, 1)]


def test_tensorflow_is_not_imported(tmp_path):
    """It takes several seconds, and fetching has to be quick."""
    log(tmp_path / "x", [1])
    code = f"""
import sys
from scripts import fetch_events
fetch_events.main(["--logdirs={tmp_path}/x", "--outdir={tmp_path}/out"])
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert points(tmp_path / "out", "test_a.csv") == [(10, 1)]
