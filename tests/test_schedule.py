"""Tests of the original trainer's clock."""

import pathlib

import numpy as np
import pytest

from planet_tf.training.schedule import Interval, Schedule, noise_scale

GOLDEN = np.load(pathlib.Path(__file__).parent / "golden" / "data.npz")


def schedule(**changes) -> Schedule:
    """The original's defaults."""
    values = {
        "train_steps": 50_000,
        "test_steps": 50,
        "batch": 50,
        "max_steps": 50_000_000,
        "intervals": {"train": Interval(5000, 5000)},
    }
    return Schedule(**{**values, **changes})


def test_collections_happen_where_the_original_has_them():
    """Off by one update would put them after the 100th, not the 101st."""
    default = schedule()
    due = [
        default.collect_due(int(step) // 50 + 1) == ["train"]
        for step in GOLDEN["schedule_step"]
    ]
    np.testing.assert_array_equal(due, GOLDEN["schedule_collect"])
    updates = range(1, 3001)
    due = [u for u in updates if default.collect_due(u)]
    assert due[:2] == [101, 201]
    epochs = np.bincount([(u - 1) // 1000 for u in due])
    assert epochs.tolist() == [9, 10, 10]


def test_collectors_have_intervals_of_their_own():
    """The second begins sooner and ends; the first must not notice."""
    both = schedule(
        intervals={
            "train": Interval(5000, 5000),
            "train_b": Interval(100, 700, 9000),
        }
    )
    steps = GOLDEN["schedule_step"].tolist()
    due = [both.collect_due(step // 50 + 1) for step in steps]
    for name, array in (
        ("train", "schedule_collect"),
        ("train_b", "schedule_collect_until"),
    ):
        np.testing.assert_array_equal([name in x for x in due], GOLDEN[array])
        count = both.intervals[name].count(steps[-1], 50)
        assert count == GOLDEN[array].sum()


@pytest.mark.parametrize("after", [0, 5, 50, 99])
@pytest.mark.parametrize("every", [1, 70, 120])
@pytest.mark.parametrize("until", [-1, 6, 50, 101, 500])
def test_count_is_how_often_it_is_due(after, every, until):
    interval = Interval(after, every, until)
    due = [interval.due(step, 50) for step in range(0, 1001, 50)]
    for updates in range(1, len(due) + 1):
        count = interval.count(50 * (updates - 1), 50)
        assert count == sum(due[:updates])


def test_collections_with_an_interval_that_batches_do_not_divide():
    """Each interval must still have exactly one."""
    odd = schedule(batch=32, train_steps=32_000, test_steps=32)
    due = [u for u in range(1, 1000) if odd.collect_due(u)]
    assert due[:3] == [158, 314, 470]
    assert set(np.diff(due)) == {156, 157}


def test_tests_follow_epochs():
    default = schedule()
    assert [u for u in range(2500) if default.test_due(u)] == [1000, 2000]
    assert default.test_batches == 1


def test_phases_are_whole_batches():
    """Rounded down, a phase could have no update at all."""
    odd = schedule(batch=16)
    assert odd.epoch_updates == 3125 and odd.test_batches == 4
    assert schedule(batch=100, test_steps=50).test_batches == 1


def test_run_ends_when_the_original_would():
    """Simulates its loop: it checks the counter before each iteration."""
    cases = [
        {},
        {"max_steps": 1},
        {"max_steps": 50_000},
        {"max_steps": 50_049},
        {"max_steps": 50_051},
        {"max_steps": 120_001},
        {
            "batch": 5,
            "train_steps": 10,
            "test_steps": 10,
            "max_steps": 500,
        },
    ]
    for case in cases:
        it = schedule(**{"max_steps": 300_000, **case})
        step = updates = 0
        while step < it.max_steps:
            training = step % (it.train_steps + it.test_steps) < it.train_steps
            updates += training
            step += it.batch
        assert it.total_updates == updates, case
    assert schedule().total_updates == 999_001


def test_stops_are_all_that_is_due_and_no_more():
    """A run that jumps from stop to stop must miss nothing."""
    it = schedule(
        batch=5,
        train_steps=20,
        max_steps=700,
        intervals={"a": Interval(15, 15), "b": Interval(40, 55, 300)},
    )
    due = [
        u
        for u in range(1, it.total_updates + 1)
        if it.collect_due(u) or it.test_due(u)
    ]
    stops = [0]
    while stops[-1] < it.total_updates:
        stops.append(it.next_stop(stops[-1]))
    assert stops[1:] == sorted({*due, it.total_updates})
    assert it.next_stop(it.total_updates) == it.total_updates


def test_noise_scale_matches_the_original():
    for name, ramp, minimum in (
        ("constant", 0, 0.0),
        ("up", 10_000, 0.0),
        ("down", -10_000, 0.1),
    ):
        scale = [noise_scale(s, ramp, minimum) for s in GOLDEN["schedule_step"]]
        expected = GOLDEN[f"schedule_noise_{name}"]
        np.testing.assert_allclose(scale, expected, rtol=1e-6, err_msg=name)


def test_pictures_do_not_grow_with_the_run():
    """A thousand tests of a megabyte each would fill a disk."""
    short = schedule(train_steps=10, test_steps=10, batch=5, max_steps=200)
    tests = [u for u in range(short.total_updates + 1) if short.test_due(u)]
    assert [u for u in tests if short.pictures_due(u)] == tests
    default = schedule()
    due = [u for u in range(500, 999_001, 500) if default.pictures_due(u)]
    assert due[:3] == [1000, 11_000, 21_000]
    assert due[-1] == 999_000
    assert len(due) == 101
    assert all(default.test_due(u) for u in due)
