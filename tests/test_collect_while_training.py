"""Episodes that are played beside the updates of their round."""

import concurrent.futures
import dataclasses
import os
import signal
import threading
import time
import types

import pytest

from planet_tf.control.episode_source import ATTEMPTS
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.tools import files
from planet_tf.training import trainer
from planet_tf.training.learner import Learner
from tests import runs

CONFIG = dataclasses.replace(runs.FOUR_UPDATES, collect_while_training=True)

eager = pytest.fixture(runs.eager, autouse=True)


def _play_first(monkeypatch):
    """Episodes end before the updates of their round begin."""
    submit = concurrent.futures.ThreadPoolExecutor.submit

    def wait(pool, *args):
        future = submit(pool, *args)
        if pool._thread_name_prefix == "worlds":
            concurrent.futures.wait([future])
        return future

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", wait)


def _play_last(monkeypatch):
    """Episodes begin when the updates of their round are done."""
    submit = concurrent.futures.ThreadPoolExecutor.submit

    def late(pool, *args):
        if pool._thread_name_prefix != "worlds":
            return submit(pool, *args)
        return types.SimpleNamespace(
            result=lambda: submit(pool, *args).result()
        )

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", late)


def test_nothing_depends_on_which_is_faster(tmp_path, monkeypatch):
    """Nor on a stop amid a round.

    An agent that plans with newer weights shows, or a batch that holds newer
    episodes.
    """
    with monkeypatch.context() as patch:
        _play_last(patch)
        trainer.train(CONFIG, tmp_path / "reference")

    _play_first(monkeypatch)
    with monkeypatch.context() as patch:
        update, done = Learner.update, []

        def stopped(*args):
            if len(done) == 1:
                raise KeyboardInterrupt(signal.SIGTERM)
            done.append(None)
            return update(*args)

        patch.setattr(Learner, "update", stopped)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(CONFIG, tmp_path / "run")
    trainer.train(CONFIG, tmp_path / "run")
    runs.assert_same(tmp_path / "reference", tmp_path / "run", [2, 3, 4])


def _signal_worlds(monkeypatch, number):
    """Once a world is played in a thread, its process gets a signal."""
    step, sent = Worker.step, threading.Event()

    def signalled(worker, action):
        if threading.current_thread() is not threading.main_thread():
            os.kill(worker._process.pid, number)
            sent.set()
        return step(worker, action)

    monkeypatch.setattr(Worker, "step", signalled)
    return sent


def test_a_world_that_always_fails_ends_the_run(tmp_path, monkeypatch, caplog):
    """As in the main thread."""
    _signal_worlds(monkeypatch, signal.SIGKILL)
    with pytest.raises(WorkerError, match="failed 3 times in a row"):
        trainer.train(CONFIG, tmp_path)
    assert len(caplog.records) == ATTEMPTS - 1
    assert list(files.checkpoints(tmp_path / "checkpoints")) == [2, 0]


def test_a_run_ends_beside_a_world_that_hangs(tmp_path, monkeypatch, caplog):
    """In seconds; and no process is started for the dropped episode."""
    hangs = _signal_worlds(monkeypatch, signal.SIGSTOP)
    raised = []

    def stopped(*_):
        assert hangs.wait(60), "nothing is played beside this update"
        raised.append(time.monotonic())
        raise KeyboardInterrupt(signal.SIGTERM)

    monkeypatch.setattr(Learner, "update", stopped)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(CONFIG, tmp_path)
    assert time.monotonic() - raised[0] < 20
    assert not [t for t in threading.enumerate() if "worlds" in t.name]
    assert not caplog.records
