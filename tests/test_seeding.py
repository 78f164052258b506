"""Random streams from names and counters."""

from planet_tf.tools.seeding import fold, fold_int


def test_streams_do_not_meet():
    """Equal seeds for different purposes would correlate their noise."""
    seen = {
        tuple(fold(seed, name, index))
        for seed in range(5)
        for name in ("update", "train_cup_catch", "test_cup_catch")
        for index in range(100)
    }
    assert len(seen) == 5 * 3 * 100


def test_same_everywhere():
    """A resumed run, on another machine even, must draw the same."""
    assert fold(1, "update", 2).tolist() == [-1467066202, 1794664066]
    assert 0 <= fold_int(1, "update", 2) < 2**31
