"""Tests of frames that are read from disk: the same batches, whatever fails."""

import contextlib
import errno
import os

import numpy as np
import pytest

from planet_tf.tools.replay import Replay


def episode(number, rows=6):
    rng = np.random.default_rng(number)
    return {
        "image": rng.integers(0, 256, [rows, 8, 8, 3], np.uint8),
        "action": rng.uniform(-1, 1, [rows, 2]).astype(np.float32),
        "reward": rng.normal(size=rows).astype(np.float32),
    }


@pytest.fixture
def directory(tmp_path):
    replay = Replay(tmp_path, on_disk=True)
    for number in range(3):
        replay.add(episode(number, 6 + number), "cup_catch")
    return tmp_path


def assert_same_batches(one, other):
    for first, second in zip(
        one.batches(2, 3, 8, 4, seed=1),
        other.batches(2, 3, 8, 4, seed=1),
        strict=True,
    ):
        for key, values in first.items():
            np.testing.assert_array_equal(values, second[key])
            assert values.dtype == second[key].dtype


def frames(directory):
    return sorted((directory / "frames").iterdir())


def test_batches_do_not_depend_on_where_frames_are(tmp_path, directory):
    memory = Replay(tmp_path / "memory")
    for number in range(3):
        memory.add(episode(number, 6 + number), "cup_catch")
    # The files just written, and those that a restart finds.
    on_disk = Replay(tmp_path / "disk", on_disk=True)
    for number in range(3):
        on_disk.add(episode(number, 6 + number), "cup_catch")
    assert_same_batches(memory, on_disk)
    before = [(p.name, p.stat().st_mtime_ns) for p in frames(directory)]
    again = Replay(directory, on_disk=True)
    assert (again.episodes, again.skipped, again.next_index) == (3, 0, 3)
    assert_same_batches(memory, again)
    after = [(p.name, p.stat().st_mtime_ns) for p in frames(directory)]
    assert len(after) == 3 and after == before


def test_a_full_disk_is_no_damage(directory, monkeypatch):
    """The run would go on without intact episodes, and never the same."""
    for path in frames(directory):
        path.unlink()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Replay(directory, on_disk=True)
    monkeypatch.undo()
    assert Replay(directory, on_disk=True).episodes == 3


def test_no_frames_of_other_tasks(directory):
    """They would be written and deleted at each start."""
    for path in frames(directory):
        path.unlink()
    Replay(directory, on_disk=True, tasks=["walker_walk"])
    assert not (directory / "frames").exists()


def test_images_are_not_held_in_memory(directory):
    for replay in (Replay(directory, on_disk=True), Replay(directory)):
        replay.add(episode(3), "cup_catch")
        in_memory = [
            isinstance(held.episode["image"], np.ndarray)
            for held in replay._all
        ]
        assert in_memory == [not replay._on_disk] * 4


def test_a_run_of_the_other_kind_goes_on(directory):
    """Nothing is left behind by going back to memory, nothing is lost."""
    memory = Replay(directory)
    assert memory.episodes == 3 and not (directory / "frames").exists()
    assert_same_batches(memory, Replay(directory, on_disk=True))
    assert len(frames(directory)) == 3


def test_reading_alone_changes_nothing(directory):
    """A run may still be using them."""
    before = frames(directory)
    assert Replay(directory, read_only=True).episodes == 3
    assert frames(directory) == before


@pytest.mark.parametrize(
    "damage, restart",
    [
        ("missing", False),
        ("short", False),
        ("empty", False),
        ("missing", True),
        ("short", True),
        ("other bytes", True),
    ],
)
def test_lost_frames_are_made_again(directory, damage, restart):
    expected = Replay(directory, read_only=True)
    replay = Replay(directory, on_disk=True)
    for path in frames(directory):
        content = path.read_bytes()
        if damage == "missing":
            path.unlink()
        elif damage == "other bytes":
            path.write_bytes(content[:-9] + bytes(9))
        else:
            path.write_bytes(content[: -9 if damage == "short" else 0])
    if restart:
        replay = Replay(directory, on_disk=True)
    assert_same_batches(expected, replay)
    assert replay.episodes == 3 and len(frames(directory)) == 3


def test_frames_go_with_their_episode(directory):
    """A resumed run plays the last ones again."""
    (directory / "frames" / "left.npy.tmp").write_bytes(b"half a file")
    replay = Replay(directory, end=1, on_disk=True)
    assert replay.episodes == 1
    assert [path.name[:6] for path in frames(directory)] == ["000000"]
    assert len(list((directory / "dropped").iterdir())) == 2


def test_a_damaged_episode_is_skipped(directory):
    """Good frames alone are no episode."""
    episodes = sorted(directory.glob("*.npz"))
    episodes[0].write_bytes(episodes[0].read_bytes()[:-100])
    with np.load(episodes[1]) as file:
        rest = {key: file[key] for key in file if key != "image"}
    np.savez_compressed(episodes[1], **rest)
    replay = Replay(directory, on_disk=True)
    assert (replay.episodes, replay.skipped) == (1, 2)
    assert [path.name[:6] for path in frames(directory)] == ["000002"]


def test_a_full_disk_leaves_no_half_of_an_episode(directory, monkeypatch):
    replay = Replay(directory, on_disk=True)
    with full_after(1, monkeypatch):
        with pytest.raises(OSError, match=r"frames/000003-.*No space.*intact"):
            replay.add(episode(3), "cup_catch")
    assert len(list(directory.glob("*.npz*"))) == len(frames(directory)) == 3
    assert replay.episodes == 3 and replay.next_index == 3
    assert replay.add(episode(3), "cup_catch").name.startswith("000003")
    assert_same_batches(replay, Replay(directory, read_only=True))


def test_a_full_disk_stops_batches_of_lost_frames(directory, monkeypatch):
    """Not a wait for ever, and not a batch without images."""
    replay = Replay(directory, on_disk=True)
    for path in frames(directory):
        path.unlink()
    with full_after(0, monkeypatch):
        with pytest.raises(OSError, match="No space"):
            next(replay.batches(0, 1, 4, 4, seed=0))


@contextlib.contextmanager
def full_after(files, monkeypatch):
    """A disk on which so many files can still be completed."""
    done = []

    def fsync(descriptor):
        done.append(descriptor)
        if len(done) > files:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield
