"""The timers add up, and the bar shows what was asked for."""

import sys
import time

import pytest

from planet_tf.tools.progress import Pace, Progress, Timers


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_timers_add_up(clock):
    """Shares are of the wall time, not of the time that was measured."""
    timers = Timers()
    for _ in range(2):
        with timers("plan"):
            clock(3)
        clock(1)
    with timers("update"):
        clock(2)
    assert timers.rate("plan") == pytest.approx(1 / 3)
    assert timers.rate("wait") == 0
    assert timers.summary() == pytest.approx(
        {
            "time/plan": 6,
            "time/plan_share": 0.6,
            "time/plan_rate": 1 / 3,
            "time/update": 2,
            "time/update_share": 0.2,
            "time/update_rate": 1 / 2,
        }
    )


def test_waiting_has_no_rate(clock):
    """Hundreds of batches that were there would hide the other rates."""
    timers = Timers()
    with timers("wait"):
        clock(0.5)
    clock(1.5)
    assert timers.summary() == {"time/wait": 0.5, "time/wait_share": 0.25}


def test_summary_starts_anew(clock):
    """Otherwise shares would be averages over the whole run."""
    timers = Timers()
    for name in ("plan", "update"):
        with timers(name):
            clock(5)
    timers.summary()
    with timers("update"):
        clock(1)
    clock(3)
    assert timers.summary() == pytest.approx(
        {"time/update": 1, "time/update_share": 0.25, "time/update_rate": 1}
    )


def test_timers_count_what_fails(clock):
    """An exception must pass through and its time still count."""
    timers = Timers()
    with pytest.raises(KeyError), timers("simulate"):
        clock(4)
        raise KeyError
    assert timers.summary()["time/simulate"] == 4


@pytest.fixture
def terminal(monkeypatch):
    """Makes whatever standard error is then a terminal."""
    return lambda: monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_log_file_gets_lines_alone(clock, capsys):
    """A moving bar would fill the log file of a long run."""
    with Progress(total=10) as progress:
        progress.advance({"loss": 1.0})
        clock(100)
        progress.played()
        progress.note(score=1.0)
        progress.write("episode 1")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("episode 1\n", "")


def test_bar_shows_progress(clock, terminal, capsys):
    """A resumed run starts where it was, with the rates beside it."""
    terminal()
    timers = Timers()
    with Progress(total=10, initial=4) as progress:
        with timers("update"):
            clock(0.5)
        progress.note(**{"return": 321.0})
        progress.write("saved")
        progress.advance({"train/loss": 7.25, "train/post_std": 1.0}, timers)
        progress.played(3)
        clock(61)
        progress.played(4)
    captured = capsys.readouterr()
    assert captured.out.strip() == "saved"
    for text in ("5/10", "return=321", "loss=7.25", "updates/s=2", "playing=7"):
        assert text in captured.err
    assert "post_std" not in captured.err


def test_bar_shows_changes(clock, terminal, capsys):
    """A loss is mostly constant: of five digits, the last ones change."""
    terminal()
    with Progress(total=10) as progress:
        progress.advance({"loss": 11356.878, "image": -11299.917, "kl": 6.7548})
        progress.played(1234)
        clock(1)
        progress.played(0)
    shown = capsys.readouterr().err
    for text in ("loss=11356.9", "image=-11299.9", "kl=6.75", "playing=1234"):
        assert f"{text}," in shown or f"{text}]" in shown


def test_bar_does_not_wait_for_every_update(clock, terminal):
    """Reading a tensor each time would stop the accelerator."""
    terminal()
    reads = []

    class Loss:
        def __float__(self):
            reads.append(self)
            return 1.0

    with Progress(total=100) as progress:
        for _ in range(50):
            progress.advance({"loss": Loss()})
            clock(0.01)
    assert len(reads) == 1


def test_pace_leaves_out_the_start(clock):
    """The first updates take long, as their graph is made."""
    pace = Pace()
    assert pace.left(5, 100) is None
    clock(10)
    assert pace.left(10, 100) == pytest.approx(180)  # 2 seconds each.
    clock(20)
    assert pace.left(25, 100) == pytest.approx(112.5)  # 1.5 since the first.
