"""What Ctrl-C, SIGTERM and SIGHUP, of a closed terminal, do to a run."""

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Iterator
from typing import Any


def stop_in_order() -> None:
    """From now on, the three of them raise `KeyboardInterrupt(number)`.

    A second Ctrl-C ends the process at once, whatever it does: also while
    TensorFlow computes and Python can call no handler.
    """
    for number in _handlers():
        signal.signal(number, _raise)
    came, inlet = os.pipe()
    os.set_blocking(inlet, False)
    signal.set_wakeup_fd(inlet, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(came,), daemon=True).start()


def _handlers() -> dict[int, Any]:
    """What is done about each of them now; without those that are ignored.

    Background jobs of a shell start with Ctrl-C ignored, those of nohup with
    SIGHUP.
    """
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {k: v for k, v in handlers.items() if v is not signal.SIG_IGN}


def _raise(number: int, _: object) -> None:
    # `timeout` and schedulers may send theirs twice, shells SIGHUP.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if number == signal.SIGHUP:
        _print_to_files_alone()
    raise KeyboardInterrupt(number)


def _print_to_files_alone() -> None:
    """From now on; a terminal is gone, and pipes probably have no reader."""
    with open(os.devnull, "w") as nowhere:
        for descriptor in (1, 2):
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.dup2(nowhere.fileno(), descriptor)


def _watch(came: int) -> None:
    """Reads the numbers of all signals as they come."""
    interrupts = 0
    while interrupts < 2:
        interrupts += os.read(came, 1) == bytes([signal.SIGINT])
    os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Lets the three of them wait until the `with` block is done.

    For what is short and must be done whole or not at all. Without an effect
    outside the main thread, where Python handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = _handlers()
    for number in before:
        signal.signal(number, lambda *args: came.append(args))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number, frame in came:
            # Raised again, a Ctrl-C would count twice.
            if callable(before[number]):
                before[number](number, frame)
            else:
                signal.raise_signal(number)
