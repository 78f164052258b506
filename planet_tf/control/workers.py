"""Runs a world in a process of its own.

Needed because TensorFlow and Mesa's renderer crash in one process, and useful
because several worlds then move at the same time. Processes are spawned, not
forked: neither a graphics context nor TensorFlow survives a fork.

A spawned child of multiprocessing normally imports the parent's main module
again, as `__mp_main__`. With `python -m planet_tf.train`, a script or a
notebook that would bring TensorFlow into the child, so the main module is
hidden from it. Two consequences: scripts need no `if __name__ == "__main__"`
guard for the sake of workers, and a constructor has to live in a module that
can be imported, not in the script itself.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from planet_tf.control.environments import Environment, Observation, Spec

Promise = Callable[[], Any]

# Workers may be started from several threads; see the module's docstring.
_main_lock = threading.Lock()


class WorkerError(RuntimeError):
    """A world failed, died or hung in its process."""


class Worker:
    """One world in a spawned process.

    The process starts at once; the constructor's result is awaited by the
    first use, so that several workers start side by side. After an exception
    in `reset` or `step` the worker can still be used; after a death or a hang
    it has to be restarted. To end what one thread plays, another may close the
    worker.

        workers = [Worker(constructor) for _ in range(2)]
        promises = [worker.reset(seed=i) for i, worker in enumerate(workers)]
        observations = [promise() for promise in promises]

    Args:
        constructor: Makes the world, inside the process. Has to be picklable
            and importable: a class or function of a module, or a
            `functools.partial` of one.
        timeout: Seconds to wait for any one answer before the process counts
            as hung and is killed.

    Raises:
        ValueError: `constructor` cannot be pickled, or is defined in the main
            script.
    """

    def __init__(
        self, constructor: Callable[[], Environment], timeout: float = 300.0
    ):
        self._timeout = timeout
        self._constructor = _pickled(constructor)
        self._closed = False
        self._closing = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._spec = None
        self._waiting_for = None
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._constructor), daemon=True
        )
        with _main_lock:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = types.ModuleType("__main__")
            try:
                self._process.start()
            finally:
                sys.modules["__main__"] = main
        # The child alone must hold its end: its death then closes the pipe.
        theirs.close()

    @property
    def spec(self) -> Spec:
        """The world's sizes; waits until the world is made.

        Raises:
            WorkerError: The constructor failed.
        """
        if self._spec is None:
            self._waiting_for = "constructor"
            self._spec = self._receive()
        return self._spec

    def reset(self, seed: int) -> Callable[[], Observation]:
        """Starts an episode; call the result for the first observation."""
        return self.call("reset", seed)

    def step(
        self, action: np.ndarray
    ) -> Callable[[], tuple[Observation, float, bool]]:
        """Carries out a decision; call the result for its outcome.

        Raises:
            WorkerError: The process is dead. The returned function also
                raises it when the world failed, died or hung.
        """
        return self.call("step", action)

    def call(self, method: str, argument: Any) -> Promise:
        """Starts a method that only some worlds have, as `step` does its own.

        The promise is a function without arguments that waits for the result.
        """
        self.spec  # noqa: B018  The first answer is the constructor's.
        if self._waiting_for:
            raise RuntimeError(
                f"The result of {self._waiting_for} has not been fetched."
            )
        try:
            self._connection.send((method, argument))
        except OSError as error:
            raise self._death(method) from error
        self._waiting_for = method
        return self._receive

    def restart(self) -> None:
        """Makes the world anew in a new process, whatever the old one does.

        Raises:
            WorkerError: The worker is closed.
        """
        with self._closing:
            if self._closed:
                raise WorkerError("The worker is closed.")
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._start()

    def close(self) -> None:
        """Ends the process. May be called twice, or after a failure."""
        with self._closing:
            self._closed = True
            try:
                self._connection.send(None)
            except OSError:  # Closed, or the process is dead.
                pass
            self._process.join(2)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._connection.close()

    def __enter__(self) -> "Worker":
        """Returns itself."""
        return self

    def __exit__(self, *unused: object) -> None:
        """Closes the worker."""
        self.close()

    def _receive(self) -> Any:
        method = self._waiting_for
        if not method:
            raise RuntimeError("This result has been fetched already.")
        try:
            answered = self._connection.poll(self._timeout)
            if answered:
                succeeded, result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death(method) from error
        self._waiting_for = None
        if not answered:
            self._process.kill()
            self._process.join()
            raise WorkerError(
                f"A worker did not answer {method} within "
                f"{self._timeout:.0f} seconds and was killed. If this was the "
                "first image, rendering hangs: some GPU drivers do so with "
                "several processes. Try MUJOCO_GL=osmesa, or allow more time "
                "if the machine is overloaded."
            )
        if not succeeded:
            raise WorkerError(f"A worker failed in {method}:\n\n{result}")
        return result

    def _death(self, method: str) -> WorkerError:
        self._waiting_for = None
        self._process.join(2)
        code = self._process.exitcode
        if code is not None and code < 0:
            cause = f"killed by {signal.Signals(-code).name}"
        else:
            cause = f"exit code {code}"
        return WorkerError(
            f"A worker's process died in {method} ({cause}). SIGKILL often "
            "means that memory ran out, SIGSEGV a broken graphics driver; "
            "anything it printed is above."
        )


def _pickled(constructor: Callable[[], Environment]) -> bytes:
    try:
        data = pickle.dumps(constructor)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{constructor} cannot be sent to a worker ({error}). Use a "
            "function or class of a module, or a functools.partial of one."
        ) from error
    if b"__main__" in data:
        raise ValueError(
            f"{constructor} is defined in the main script, which workers do "
            "not import. Move it to a module."
        )
    return data


def _serve(connection: Connection, constructor: bytes) -> None:
    """The process: answers (succeeded, result) until it is sent None."""
    # Ctrl-C and the terminal's end reach every process; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        environment = pickle.loads(constructor)()
        answer = (True, environment.spec)
    except Exception:
        connection.send((False, traceback.format_exc()))
        return
    while True:
        try:
            connection.send(answer)
            request = connection.recv()
        except (EOFError, OSError):  # The parent is gone.
            break
        if request is None:
            break
        method, argument = request
        try:
            answer = (True, getattr(environment, method)(argument))
        except Exception:
            answer = (False, traceback.format_exc())
    environment.close()


def _die_with_parent() -> None:
    """Ends the process with its parent, also amid a long computation."""
    multiprocessing.parent_process().join()
    os._exit(1)
