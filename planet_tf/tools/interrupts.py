"""What Ctrl-C and SIGTERM do to a run."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


def stop_in_order() -> None:
    """From now on, Ctrl-C and SIGTERM raise `KeyboardInterrupt(number)`.

    A second Ctrl-C ends the process at once, whatever it does: also while
    TensorFlow computes and Python can call no handler.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # Background jobs of a shell start with Ctrl-C ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)
    came, inlet = os.pipe()
    os.set_blocking(inlet, False)
    signal.set_wakeup_fd(inlet, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(came,), daemon=True).start()


def _raise(number: int, _: object) -> None:
    # `timeout` and schedulers may send theirs twice.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt(number)


def _watch(came: int) -> None:
    """Reads the numbers of all signals as they come."""
    interrupts = 0
    while interrupts < 2:
        interrupts += os.read(came, 1) == bytes([signal.SIGINT])
    os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM wait until the `with` block is done.

    For what is short and must be done whole or not at all. Without an effect
    outside the main thread, where Python handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = {
        number: signal.signal(number, lambda *args: came.append(args))
        for number in (signal.SIGINT, signal.SIGTERM)
        # Background jobs of a shell start with Ctrl-C ignored.
        if signal.getsignal(number) is not signal.SIG_IGN
    }
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
