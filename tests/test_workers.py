import functools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from planet_tf.control.workers import Worker, WorkerError
from tests import fakes

ACTION = np.zeros(2, np.float32)


def no_world():
    raise OSError("the model file is missing")


class ProcessWorld(fakes.FrameIndexWorld):
    """Reports which modules its process has loaded."""

    def reset(self, seed):
        deaf_to = (signal.SIGHUP, signal.SIGINT)
        return set(sys.modules), {signal.getsignal(x) for x in deaf_to}


def test_episode_crosses_the_process_border():
    with Worker(functools.partial(fakes.FrameIndexWorld, 3)) as worker:
        assert worker.spec.episode_length == 3
        assert worker.reset(0)()["image"].max() == 0
        results = [worker.step(ACTION)() for _ in range(3)]
        assert [reward for _, reward, _ in results] == [1, 2, 3]
        assert [done for _, _, done in results] == [False, False, True]
        image = results[1][0]["image"]
        assert image.dtype == np.uint8 and np.all(image == 2)


def test_two_workers_at_once():
    """Both must be on their way before the first is awaited."""
    constructor = functools.partial(fakes.HangingWorld, fail_at=1)
    with Worker(constructor) as slow, Worker(fakes.FrameIndexWorld) as quick:
        for promise in [slow.reset(0), quick.reset(1)]:
            promise()
        slow.step(ACTION)
        assert quick.step(ACTION)()[1] == 1


def test_child_is_clean():
    """Free of TensorFlow, and deaf to the signals meant for the parent."""
    with Worker(ProcessWorld) as worker:
        modules, handlers = worker.reset(0)()
    assert "tensorflow" not in modules
    assert handlers == {signal.SIG_IGN}


def test_main_script_is_not_run_again(tmp_path):
    """Without a guard, spawn would run the script in each child, for ever.

    The script stands for train.py, a user's own and a notebook: whatever it
    imports, TensorFlow above all, must stay out of the child.
    """
    script = tmp_path / "script.py"
    script.write_text(
        "print('script runs', flush=True)\n"
        "from planet_tf.control.workers import Worker\n"
        "from tests.fakes import FrameIndexWorld\n"
        "with Worker(FrameIndexWorld) as worker:\n"
        "    print(worker.spec.action_dim, flush=True)\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.check_output(
        [sys.executable, str(script)], env=env, text=True, timeout=60
    )
    assert output.split("\n")[:-1] == ["script runs", "2"]


def test_constructor_of_the_main_script():
    """The child does not import that script, so it could not find it."""

    def local():
        return fakes.FrameIndexWorld()

    with pytest.raises(ValueError, match="function or class of a module"):
        Worker(local)
    in_main = type("World", (), {"__module__": "__main__"})
    sys.modules["__main__"].World = in_main
    try:
        with pytest.raises(ValueError, match="Move it to a module"):
            Worker(in_main)
    finally:
        del sys.modules["__main__"].World


def test_constructor_fails():
    worker = Worker(no_world)
    with pytest.raises(WorkerError, match="the model file is missing"):
        worker.reset(0)
    with pytest.raises(WorkerError, match="died in constructor"):
        worker.reset(0)
    worker.close()


def test_crash_carries_the_traceback_and_is_survived():
    with Worker(functools.partial(fakes.CrashingWorld, 2)) as worker:
        worker.reset(0)()
        worker.step(ACTION)()
        with pytest.raises(WorkerError) as error:
            worker.step(ACTION)()
        assert "failed in step" in str(error.value)
        assert "the simulator exploded" in str(error.value)
        assert "fakes.py" in str(error.value)
        assert worker.reset(0)()["image"].max() == 0


def test_death_is_noticed():
    with Worker(functools.partial(fakes.KilledWorld, 1)) as worker:
        worker.reset(0)()
        with pytest.raises(WorkerError, match="died in step .*SIGKILL"):
            worker.step(ACTION)()
        with pytest.raises(WorkerError, match="died in reset"):
            worker.reset(0)


def test_hang_is_ended():
    constructor = functools.partial(fakes.HangingWorld, 1)
    with Worker(constructor, timeout=10) as worker:
        worker.reset(0)()
        worker._timeout = 0.2
        with pytest.raises(WorkerError, match="did not answer step within"):
            worker.step(ACTION)()
        assert not worker._process.is_alive()


def test_answers_cannot_be_mixed_up():
    with Worker(fakes.FrameIndexWorld) as worker:
        promise = worker.reset(0)
        with pytest.raises(RuntimeError, match="reset has not been fetched"):
            worker.step(ACTION)
        promise()
        with pytest.raises(RuntimeError, match="fetched already"):
            promise()


def test_close_twice_and_before_use():
    worker = Worker(fakes.FrameIndexWorld)
    worker.close()
    worker.close()
    assert worker._process.exitcode is not None
    with pytest.raises(WorkerError):
        worker.reset(0)


def test_threads_may_start_workers():
    """Each hides the main module for a moment; it has to come back."""
    main = sys.modules["__main__"]
    workers = []
    threads = [
        threading.Thread(
            target=lambda: workers.append(Worker(fakes.FrameIndexWorld))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.modules["__main__"] is main
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("ending", ["kill", "exit"])
def test_child_dies_with_its_parent(ending):
    """A killed run must not leave simulators behind, not even busy ones."""
    code = f"""
import functools, os, signal, sys
import numpy as np
from planet_tf.control.workers import Worker
from tests.fakes import HangingWorld
worker = Worker(functools.partial(HangingWorld, 1))
worker.reset(0)()
worker.step(np.zeros(2))
print(worker._process.pid, flush=True)
if {ending!r} == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60
    )
    child = int(parent.stdout)
    deadline = time.time() + 10
    while _running(child):
        assert time.time() < deadline, "the child outlives its parent"
        time.sleep(0.05)


def _running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
