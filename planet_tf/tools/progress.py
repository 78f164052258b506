"""What a run shows in the terminal, and where its time goes."""

import collections
import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import tqdm

# Metrics with room in the line, by the part of their name after the topic.
_SHOWN = ("loss", "image", "reward", "kl")

_INTERVAL = 0.5  # Seconds between drawings of the bar.


class Timers:
    """Adds up wall time by name.

        with timers("plan"):
            ...

    On an accelerator, work that is only started costs nothing until something
    waits for its result: time that part, too.
    """

    def __init__(self):
        self._seconds = collections.defaultdict(float)
        self._counts = collections.defaultdict(int)
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time until the `with` block ends, for any reason."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start
            self._counts[name] += 1

    def rate(self, name: str) -> float:
        """How often per second of its own time; 0 if it never ran."""
        count = self._counts[name]
        return count / max(self._seconds[name], 1e-9) if count else 0.0

    def summary(self) -> dict[str, float]:
        """What happened since the last call; starts anew.

        Returns:
            For each name: `time/<name>` in seconds, `time/<name>_share` of the
            wall time in [0, 1], and, but for "wait", `time/<name>_rate` in
            1/s, like `rate`.
        """
        now = time.perf_counter()
        wall = max(now - self._start, 1e-9)
        result = {}
        for name, seconds in self._seconds.items():
            result[f"time/{name}"] = seconds
            result[f"time/{name}_share"] = seconds / wall
            if name != "wait":  # The less of it, the higher its rate.
                result[f"time/{name}_rate"] = self.rate(name)
        self._seconds.clear()
        self._counts.clear()
        self._start = now
        return result


class Progress:
    """A bar over a run's updates, with the time that is left.

    Args:
        total: Updates of the whole run.
        initial: Updates done before, by a run that is resumed.
    """

    def __init__(self, total: int, initial: int = 0):
        terminal = sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            total=total,
            initial=initial,
            unit="update",
            dynamic_ncols=True,
            mininterval=_INTERVAL,
            disable=not terminal,  # A log file gets the written lines alone.
        )
        self._notes = {}
        self._decisions = 0
        self._rendered = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def advance(
        self, metrics: Mapping[str, Any], timers: Timers | None = None
    ) -> None:
        """Counts one update.

        Args:
            metrics: Scalars or scalar tensors by name; they are read only when
                the bar is drawn, because reading waits for the accelerator.
            timers: Shows the rates of "update" and "plan" in 1/s.
        """
        if self._due():
            for name, value in metrics.items():
                if name.rpartition("/")[-1] in _SHOWN:
                    self._notes[name.rpartition("/")[-1]] = float(value)
            for name in ("update", "plan"):
                if timers and (rate := timers.rate(name)):
                    self._notes[f"{name}s/s"] = rate
            self._render()
        self._bar.update()

    def played(self, decisions: int = 1) -> None:
        """Counts decisions of the episode that is being played."""
        self._decisions += decisions
        if self._due():
            self._render(playing=self._decisions)
            self._bar.refresh()

    def note(self, **values: float) -> None:
        """Shows values, such as the last return, until they change.

        Ends the episode that `played` counts.
        """
        self._notes.update(values)
        self._decisions = 0
        self._render()

    def write(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.write(text)
        sys.stdout.flush()  # Whoever follows a log file wants it now.

    def _due(self) -> bool:
        now = time.monotonic()
        due = now - self._rendered >= _INTERVAL
        if due:
            self._rendered = now
        return due

    def _render(self, **extra: float) -> None:
        # tqdm itself would write a loss as 1.13e+4 for the whole run.
        notes = {k: _shown(v) for k, v in {**extra, **self._notes}.items()}
        self._bar.set_postfix(notes, refresh=False)


class Pace:
    """How long the rest of a run will take."""

    def __init__(self):
        self._first = None

    def left(self, done: int, total: int) -> float | None:
        """Seconds for the rest, at the speed since the first call.

        None at the first, as what came before it has the start-up in it.

        Args:
            done: Updates so far, more at each call.
            total: Those of the run.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
            return None
        since, before = self._first
        return (now - since) / (done - before) * (total - done)


def _shown(value: float) -> str:
    """So many digits that changes show."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
