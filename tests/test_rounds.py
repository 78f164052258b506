"""What of a round is done, and what a checkpoint keeps of it."""

import time
import types

import pytest

from planet_tf.training.checkpoint import Position
from planet_tf.training.rounds import Round


def test_a_round_goes_on_and_ends():
    """A resumed one, amid its updates; episodes count when it is over."""
    first = Position(7, 100.0, ({"loss": 1.0},), 4, 2, best_score=3.0)
    train, test = (types.SimpleNamespace(next_index=n) for n in (4, 2))
    now = Round(first, time.time() - 20, (train, test))
    assert (now.start, now.updates) == (6, 7)
    assert now.seconds == pytest.approx(120, abs=5)
    now.add({"loss": 2.0})
    train.next_index, test.next_index = 5, 3
    assert now.start == first.start == 6
    kept = now.position
    assert kept[0] == 8 and kept[2:] == (
        [{"loss": 1.0}, {"loss": 2.0}],
        4,
        2,
        3.0,
    )
    now.end()
    now.best = 9.0
    assert now.start == 8
    assert now.position._replace(seconds=0) == (8, 0, [], 5, 3, 9.0)
