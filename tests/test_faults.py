"""Faults that are survived, and faults that end a run in order."""

import contextlib
import dataclasses
import functools
import json
import logging
import resource

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import heldout, run_folder
from planet_tf.control.episode_source import ATTEMPTS, EpisodeSource
from planet_tf.control.episodes import RandomActions
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.tools import files
from planet_tf.tools.replay import Replay
from planet_tf.tools.summaries import Logger
from planet_tf.training import trainer
from planet_tf.training.checkpoint import Checkpoint, Position, Saver
from planet_tf.training.guards import SkippedUpdates, memory_for
from planet_tf.training.learner import Learner
from tests import fakes, runs

eager = pytest.fixture(runs.eager)


@contextlib.contextmanager
def full_disk(size=0):
    """No file of this process may grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _play(tmp_path, failures, ending="die"):
    """One recorded episode of a world that fails a few times before."""
    constructor = functools.partial(
        fakes.FlakyWorld, str(tmp_path / "count"), failures, ending
    )
    replay = Replay(tmp_path / "episodes")
    timeout = 5.0 if ending == "hang" else 300.0
    with Worker(constructor, timeout) as worker:
        source = EpisodeSource("train", {"cup": [worker]}, replay, seed=0)
        (episode,) = source.play(RandomActions(2))["cup"]
        source.record()
        return episode, replay


@pytest.mark.parametrize("ending", ["die", "hang", "raise"])
def test_a_failed_world_is_started_again(tmp_path, caplog, ending):
    """The episode is the one it would have been, and recorded once."""
    whole, _ = _play(tmp_path / "whole", 0)
    episode, replay = _play(tmp_path / "failing", 1, ending)
    assert replay.episodes == 1
    np.testing.assert_equal(episode, whole)
    (record,) = caplog.records
    assert "Dropped an unfinished episode of cup" in record.message


def test_a_world_that_always_fails_ends_the_run(tmp_path, caplog):
    with pytest.raises(WorkerError, match="failed 3 times in a row"):
        _play(tmp_path, ATTEMPTS)
    assert len(caplog.records) == ATTEMPTS - 1
    assert not list(tmp_path.glob("episodes/*"))


def _variables():
    """A model and an optimizer, as far as a checkpoint is concerned."""
    return tf.Module(), tf.keras.optimizers.Adam()


def _checkpoint(directory, size=1):
    model, optimizer = _variables()
    model.weights = tf.Variable(tf.zeros([size]))
    return Checkpoint(directory, model, optimizer), model


def test_a_full_disk_leaves_earlier_checkpoints(tmp_path):
    checkpoint, _ = _checkpoint(tmp_path, 100_000)
    checkpoint.save(Position(1))
    with full_disk(1000), pytest.raises(OSError, match="free some space"):
        checkpoint.save(Position(2))
    # What is left of it may be what keeps the disk full.
    assert all(path.name.startswith("ckpt-1.") for path in tmp_path.iterdir())
    checkpoint, _ = _checkpoint(tmp_path, 100_000)
    assert checkpoint.restore() == Position(1)
    checkpoint.save(Position(3))
    names = {path.name.split(".")[0] for path in tmp_path.iterdir()}
    assert names == {"ckpt-1", "ckpt-3"}


def test_a_full_disk_leaves_earlier_episodes(tmp_path):
    replay = Replay(tmp_path)
    episode = {
        "image": np.random.default_rng(0).integers(
            0, 256, [5, 64, 64, 3], np.uint8
        ),
        "action": np.zeros([5, 2], np.float32),
        "reward": np.zeros([5], np.float32),
    }
    replay.add(episode, "cup")
    with full_disk(1000), pytest.raises(OSError, match="are intact"):
        replay.add(episode, "cup")
    assert replay.episodes == Replay(tmp_path).episodes == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_noticed_by_events(tmp_path):
    """TensorFlow's own writer goes on in silence."""
    with Logger(tmp_path) as log:
        log.scalars({"updates": 1, "env_steps": 1}, {"x": 1.0})
        with full_disk(100), pytest.raises(OSError, match="metrics.jsonl"):
            log.scalars({"updates": 2, "env_steps": 2}, {"x": 2.0})
        with full_disk(100), pytest.raises(OSError, match="tfevents"):
            log.histogram({"env_steps": 2}, "x", np.zeros(1))


def test_saver_keeps_what_a_failure_would_lose(tmp_path):
    """Except weights that an update without end may have spoilt."""
    checkpoint, _ = _checkpoint(tmp_path)
    with contextlib.suppress(KeyError):
        with Saver(checkpoint, lambda: Position(7)):
            raise KeyError
    assert checkpoint.restore() == Position(7)
    with contextlib.suppress(KeyError):
        with Saver(checkpoint, lambda: 1 / 0):
            raise KeyError  # Not ZeroDivisionError.
    with contextlib.suppress(KeyError):
        with Saver(checkpoint, lambda: None):
            raise KeyError
    assert checkpoint.restore() == Position(7)


def test_saver_saves_in_time(tmp_path):
    checkpoint, _ = _checkpoint(tmp_path)
    Saver(checkpoint, Position, interval=100.0).save_if_due()
    assert checkpoint.restore() is None
    Saver(checkpoint, Position, interval=0.0).save_if_due()
    assert checkpoint.restore() == Position()


def test_skipped_updates_are_named(caplog):
    """The batch may show what is wrong; a few of them do no harm."""
    skipped = SkippedUpdates(lambda update: f"batch of {update}", 2, limit=3)
    good, bad = {"skipped": 0.0}, {"skipped": 1.0}
    losses = [good, bad, bad]
    skipped.check(5, losses)
    skipped.check(5, losses)  # Nothing new.
    assert [r.message.split(":")[0] for r in caplog.records] == [
        "Update 4 was skipped",
        "Update 5 was skipped",
    ]
    assert caplog.records[0].message.endswith("batch of 3")
    assert skipped.in_a_row == 2
    losses += [good]
    skipped.check(6, losses)
    skipped.end()
    losses = [bad, bad]  # Of the next round.
    skipped.check(8, losses)
    with pytest.raises(FloatingPointError, match="2 updates .* update 8"):
        skipped.end()
    losses += [bad, good]
    with pytest.raises(FloatingPointError, match="3 updates .* update 9"):
        skipped.check(10, losses)


def test_spoilt_weights_are_not_saved(tmp_path, eager, caplog):
    """The first update destroys them; a lower rate continues from before it."""
    config = dataclasses.replace(runs.FOUR_UPDATES, deterministic=False)
    wild = dataclasses.replace(config, main_learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="3 updates in a row"):
        trainer.train(wild, tmp_path)
    assert list(files.checkpoints(tmp_path / "checkpoints")) == [0]
    trainer.train(config, tmp_path)
    rows = [json.loads(x) for x in (tmp_path / "metrics.jsonl").open()]
    assert [row["updates"] for row in rows] == [2, 3, 4]
    assert not any(row["train/skipped"] for row in rows)


def test_a_run_saves_in_time_and_says_what_to_lower(
    tmp_path, eager, monkeypatch
):
    """Within a round, after each update here; until memory runs out."""
    monkeypatch.setattr(Saver.__init__, "__defaults__", (0.0,))
    update, done = Learner.update, []

    def fails(*args):
        if len(done) == 1:
            assert set(files.checkpoints(tmp_path / "checkpoints")) == {0, 1}
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        done.append(None)
        return update(*args)

    monkeypatch.setattr(Learner, "update", fails)
    with pytest.raises(MemoryError, match="an update. Lower --batch_shape"):
        trainer.train(runs.FOUR_UPDATES, tmp_path)


def test_chunks_of_a_batch_are_named(tmp_path):
    """They are where the batch's rows are found."""
    replay = Replay(tmp_path)
    for number in range(3):
        rows = 100 * number + np.arange(6, dtype=np.float32)
        replay.add(
            {
                "image": np.zeros([6, 64, 64, 3], np.uint8),
                "action": np.zeros([6, 1], np.float32),
                "reward": rows,
            },
            "cup",
        )
    (batch,) = replay.batches(7, 1, 4, 3, seed=1)
    names = replay.chunks(7, 4, 3, seed=1).split(", ")
    for rewards, name in zip(batch["reward"], names, strict=True):
        first = int(rewards[0])
        row = first % 100
        assert name == f"{first // 100:06d}[{row}:{row + 3}]"


@pytest.mark.parametrize("zeros", [tf.zeros, np.zeros])
def test_memory_that_runs_out_names_what_to_lower(zeros):
    with pytest.raises(MemoryError, match="a plan. Lower --amount"):
        with memory_for("a test", "length"), memory_for("a plan", "amount"):
            zeros([1 << 46])  # 256 TiB.


def test_newer_episodes_than_the_checkpoint_are_moved_away(tmp_path, caplog):
    """Files of the round that is played again, damaged ones among them."""
    replay = Replay(tmp_path)
    episode = {
        "image": np.zeros([2, 64, 64, 3], np.uint8),
        "action": np.zeros([2, 1], np.float32),
        "reward": np.zeros([2], np.float32),
    }
    paths = [replay.add(episode, "cup") for _ in range(4)]
    paths[3].write_bytes(b"damaged")
    replay = Replay(tmp_path, end=2)
    assert (replay.episodes, replay.next_index, replay.skipped) == (2, 2, 0)
    assert {p.name for p in tmp_path.glob("dropped/*")} == {
        paths[2].name,
        paths[3].name,
    }
    assert "2 episode(s)" in caplog.text
    # Episodes that were lost do not make a running number appear twice.
    for path in paths[:2]:
        path.unlink()
    assert Replay(tmp_path, end=2).next_index == 2


def test_episodes_of_other_tasks_are_skipped(tmp_path, caplog):
    replay = Replay(tmp_path)
    episode = {
        "image": np.zeros([2, 64, 64, 3], np.uint8),
        "action": np.zeros([2, 1], np.float32),
        "reward": np.zeros([2], np.float32),
    }
    for task in ("cheetah_run", "cup_catch", "cheetah_run"):
        replay.add(episode, task)
    with caplog.at_level(logging.WARNING):
        replay = Replay(tmp_path, tasks=["cup_catch"])
    assert (replay.episodes, replay.skipped) == (1, 2)
    (record,) = caplog.records  # However many there are.
    assert "Skipped 2 episode(s) of cheetah_run" in record.getMessage()


def test_a_run_goes_on_without_files_that_do_not_fit_its_worlds(
    tmp_path, caplog, capsys, eager
):
    """The first of each folder is one, so none can be judged by the first."""
    config = dataclasses.replace(
        runs.FOUR_UPDATES,
        tasks=("dummy",),
        action_repeat=100,
        planner_iterations=0,
        max_steps=4,
        state_diagnostics=True,
    )
    good = {
        "image": np.zeros([11, 64, 64, 3], np.uint8),
        "reward": np.zeros(11),
        **{key: np.zeros([11, 2]) for key in ("action", "position", "goal")},
    }
    wide = {"action": np.zeros([11, 3])}, {"position": np.zeros([11, 3])}
    bad = [good | change for change in wide]
    bad.append({key: good[key] for key in good if key != "goal"})
    for split in ("train", "test"):
        folder = tmp_path / f"{split}_episodes"
        folder.mkdir()
        for number, episode in enumerate(bad):
            name = f"00000{number}-dummy-20260101T000000.npz"
            np.savez(folder / name, **episode)
    trainer.train(config, tmp_path)
    assert len(caplog.records) == 6
    assert "Without 6 episode file(s)" in capsys.readouterr().out
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    assert points and all(x["skipped_episodes"] == 6 for x in points)
    assert all(np.isfinite(x["train/position"]) for x in points)
    # A reader of the run has no worlds to ask.
    found = heldout.predict(run_folder.find(tmp_path), 2)
    assert np.isfinite(found["dummy"].metrics["test/position"])
