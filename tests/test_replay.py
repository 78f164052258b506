"""Tests of episodes on disk, in memory, and of the batches made from them."""

import collections
import errno
import gc
import logging
import os
import pathlib
import threading
import time
import tokenize

import numpy as np
import pytest

from planet_tf.tools import chunks
from planet_tf.tools import replay as replay_module
from planet_tf.tools.replay import (
    KEYS,
    Replay,
    row_shapes,
    size_when_full,
)

GOLDEN = pathlib.Path(__file__).parent / "golden" / "episode.npz"


def make_episode(rows, number=0, size=4, action_dim=2, **extra):
    """Row t of episode n holds t and n, wherever they fit."""
    index = np.arange(rows)
    image = np.zeros([rows, size, size, 3], np.uint8)
    image[..., 0], image[..., 1] = index[:, None, None], number
    action = np.repeat(index[:, None], action_dim, 1).astype(np.float32)
    reward = index + 1000.0 * number
    return {
        "image": image,
        "action": action,
        "reward": reward.astype(np.float32),
        **extra,
    }


def filled(directory, *lengths):
    replay = Replay(directory)
    for number, rows in enumerate(lengths):
        replay.add(make_episode(rows, number), "cup_catch")
    return replay


def picks(batch):
    """(episode, first row) of each chunk."""
    first = batch["image"][:, 0, 0, 0]
    return [(int(n), int(t)) for t, n in first[:, :2]]


def test_batches_of_one_task(tmp_path):
    """Each task's predictions are of its own episodes."""
    replay = Replay(tmp_path)
    for number, (task, rows) in enumerate([("a", 4), ("b", 6), ("a", 5)]):
        replay.add(make_episode(rows, number), task)
    for task, numbers in (("a", {0, 2}), ("b", {1}), (None, {0, 1, 2})):
        batches = replay.batches(0, 10, 8, 3, 0, task=task)
        found = {number for batch in batches for number, _ in picks(batch)}
        assert found == numbers
    replay.add(make_episode(7), "c")
    lengths = [replay.sequence_length(task) for task in ("b", "c", "bc")]
    assert lengths == [6, 7, 6]
    assert Replay(tmp_path / "new").sequence_length([]) == 50
    with pytest.raises(ValueError, match="lacks episodes of a of more than 5"):
        replay.sequence_length("abc")


def test_every_place_is_equally_likely(tmp_path):
    """An exclusive upper bound would never draw the last rows."""
    replay = filled(tmp_path, 6, 3, 4, 2)
    draws = 14_000
    batch = replay.sample(np.random.default_rng(0), draws, 3)
    counts = collections.Counter(picks(batch))
    expected = {(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (2, 1)}
    assert set(counts) == expected
    # 2000 of each, standard deviation 41.
    assert all(abs(count - 2000) < 200 for count in counts.values()), counts


def test_one_task_is_drawn_as_ever():
    """Runs go on with the same chunks, whatever is done for several tasks."""
    rows = [5, 30, 126, 20, 501]
    held = [chunks.Held(make_episode(n), "a", 0) for n in rows]
    places = np.maximum(0, np.array(rows) - 24)
    ends = np.cumsum(places)
    picks = np.random.default_rng(7).integers(ends[-1], size=50)
    which = np.searchsorted(ends, picks, side="right")
    offset = picks - (ends - places)[which]
    found = chunks.choose(held, np.random.default_rng(7), 50, 25)
    np.testing.assert_array_equal(found, [which, offset])


def test_every_task_is_equally_likely(tmp_path):
    """However long its episodes are."""
    replay = Replay(tmp_path)
    for number, (task, rows) in enumerate(
        [("long", 12), ("short", 3), ("long", 5), ("short", 2)]
    ):
        replay.add(make_episode(rows, number), task)
    batch = replay.sample(np.random.default_rng(0), 2600, 3)
    counts = collections.Counter(number for number, _ in picks(batch))
    # Places: 10, 1 and 3; standard deviation at most 25.
    assert abs(counts[0] - 1000) < 130, counts
    assert abs(counts[1] - 1300) < 130, counts
    assert abs(counts[2] - 300) < 130, counts


@pytest.mark.parametrize("on_disk", [False, True])
def test_chunks_reach_beyond_a_terminated_episode(tmp_path, on_disk):
    """At most half of them, or where the episode is shorter, the rest."""
    replay = Replay(tmp_path, on_disk=on_disk)
    for number, rows in enumerate([6, 2]):
        ended = np.eye(rows, dtype=np.float32)[-1]
        replay.add({**make_episode(rows, number), "terminated": ended}, "a")
    assert replay.sequence_length(["a"]) == 50
    keys = (*KEYS, "terminated")
    batch = replay.sample(np.random.default_rng(0), 200, 4, keys)
    assert set(picks(batch)) == {(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)}
    for b, (number, start) in enumerate(picks(batch)):
        rows = np.arange(start, start + 4)
        last = [5, 1][number]
        seen = np.minimum(rows, last)
        np.testing.assert_array_equal(batch["image"][b, :, 0, 0, 0], seen)
        acted = batch["action"][b, :, 1]
        np.testing.assert_array_equal(acted[rows <= last], seen[rows <= last])
        free = acted[rows > last]
        assert np.all(np.abs(free) < 1) and np.all(free != 0)
        np.testing.assert_array_equal(batch["terminated"][b], rows >= last)
        np.testing.assert_array_equal(
            batch["reward"][b], (rows + 1000 * number) * (rows <= last)
        )


def test_chunks_are_consecutive_rows_of_one_episode(tmp_path):
    """Action and reward of a row must stay with its image."""
    replay = filled(tmp_path, 7, 5)
    batch = replay.sample(np.random.default_rng(0), 50, 4)
    shapes = {key: value.shape for key, value in batch.items()}
    assert shapes == {
        "image": (50, 4, 4, 4, 3),
        "action": (50, 4, 2),
        "reward": (50, 4),
    }
    assert batch["image"].dtype == np.uint8
    assert batch["action"].dtype == batch["reward"].dtype == np.float32
    for b, (number, start) in enumerate(picks(batch)):
        rows = np.arange(start, start + 4)
        assert (batch["image"][b, :, 0, 0, 1] == number).all()
        np.testing.assert_array_equal(batch["image"][b, :, 0, 0, 0], rows)
        np.testing.assert_array_equal(batch["action"][b, :, 1], rows)
        np.testing.assert_array_equal(batch["reward"][b], rows + 1000 * number)


def test_restart_finds_the_same_episodes(tmp_path):
    """A resumed run must draw the batches the interrupted one would have."""
    replay = filled(tmp_path, 6, 7, 8)
    replay.add(make_episode(9, 3), "walker_walk")
    again = Replay(tmp_path)
    assert again.episodes == 4 and again.skipped == 0
    assert again.count("cup_catch") == 3 and again.count("walker_walk") == 1
    assert again.count("cheetah_run") == 0
    assert again.agent_steps("cup_catch") == 5 + 6 + 7
    assert again.agent_steps("walker_walk") == 8
    for one, other in zip(
        replay.batches(3, 2, 5, 4, seed=1),
        again.batches(3, 2, 5, 4, seed=1),
        strict=True,
    ):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    path = again.add(make_episode(6), "cup_catch")
    assert path.name.startswith("000004-cup_catch-")


def test_file_has_the_original_layout(tmp_path):
    """Tools for the original's episodes must be able to read ours."""
    golden = np.load(GOLDEN)
    names = {"image", "action", "reward", "position", "velocity"}
    episode = {
        # What `collect` returns: float32 rewards.
        name: np.float32(golden["file_reward"])
        if name == "reward"
        else golden[f"file_{name}"]
        for name in names
    }
    path = Replay(tmp_path).add(episode, "cartpole_swingup")
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == names
        for name in names:
            expected = golden[f"file_{name}"]
            assert file[name].dtype == expected.dtype, name
            np.testing.assert_allclose(file[name], expected, rtol=1e-7)
    batch = Replay(tmp_path).sample(
        np.random.default_rng(0), 2, 3, ["velocity", "reward"]
    )
    assert batch["velocity"].shape == (2, 3, 2)
    assert batch["reward"].dtype == np.float32


@pytest.mark.parametrize(
    "name, content",
    [
        ("000007-cup_catch-20260101T000000.npz", b""),
        ("000007-cup_catch-20260101T000000.npz", b"not an archive"),
        ("20260101T000000-0123456789abcdef.npz", None),
        ("000007-cup_catch-20260101T000000.npz", {"action": None}),
        ("000007-cup_catch-20260101T000000.npz", {"image": np.float32}),
        ("000007-cup_catch-20260101T000000.npz", {"image": np.uint16}),
        ("000007-cup_catch-20260101T000000.npz", {"reward": "1"}),
        ("000007-cup_catch-20260101T000000.npz", {"reward": [0, np.nan] * 3}),
        ("000007-cup_catch-20260101T000000.npz", {"reward": [0, 1]}),
        ("000007-cup_catch-20260101T000000.npz", {"reward": 0.0}),
        ("000007-cup_catch-20260101T000000.npz", {"action": [[0.0]] * 6}),
        ("000007-cup_catch-20260101T000000.npz", make_episode(6, size=5)),
        ("000007-cup_catch-20260101T000000.npz", make_episode(1)),
        (
            "000007-cup_catch-20260101T000000.npz",
            make_episode(6, position=np.zeros([5, 2])),
        ),
    ],
)
def test_unusable_file_is_skipped(tmp_path, caplog, name, content):
    """One bad file must not end a run, nor pass unnoticed into training."""
    filled(tmp_path, 6)
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        episode = make_episode(6)
        for key, value in (content or {}).items():
            if isinstance(value, type):
                episode[key] = episode[key].astype(value)
            elif isinstance(value, str):
                episode[key] = np.array([value] * 6)
            elif value is None:
                del episode[key]
            else:
                episode[key] = np.array(value)
        np.savez_compressed(tmp_path / name, **episode)
    with caplog.at_level(logging.WARNING):
        replay = Replay(tmp_path)
    assert replay.episodes == 1 and replay.skipped == 1
    (record,) = caplog.records
    assert name in record.getMessage() and "\n" not in record.getMessage()
    # Never reuses the number of a file it could not read.
    index = int(name[:6]) if name.startswith("0") else 0
    assert int(replay.add(make_episode(6), "x").name[:6]) == index + 1


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (
            {"size": 5, "position": np.zeros([6, 2])},
            "rows of 'image' have shape (5, 5, 3), not (4, 4, 3)",
        ),
        (
            {"action_dim": 3, "position": np.zeros([6, 2])},
            "rows of 'action' have shape (3,), not (2,)",
        ),
        (
            {"position": np.zeros([6, 3])},
            "rows of 'position' have shape (3,), not (2,)",
        ),
        ({}, "there is no 'position', rows of which have shape (2,)"),
    ],
)
def test_worlds_decide_what_fits_not_the_first_file(
    tmp_path, caplog, episode, message
):
    """Otherwise one foreign file throws out all that belong here."""
    replay = Replay(tmp_path)
    path = replay.add(make_episode(6, **episode), "cup_catch")
    good = make_episode(6, 1, position=np.zeros([6, 2]), unused=np.zeros(6))
    name = "00000{}-cup_catch-20260101T000000.npz"
    np.savez_compressed(tmp_path / name.format(1), **good)
    good["unused"] = np.zeros([6, 7])  # Nobody asks for it.
    np.savez_compressed(tmp_path / name.format(2), **good)
    keys = (*KEYS, "position")
    observations = {"position": [2], "image": (4, 4, 3), "unused": ()}
    rows = row_shapes(2, observations, keys)
    replay = Replay(tmp_path, rows=rows)
    assert (replay.episodes, replay.skipped) == (2, 1)
    (record,) = caplog.records
    assert record.getMessage() == f"Skipped {path}: {message}"
    (batch,) = replay.batches(0, 1, 4, 4, seed=0, keys=keys)
    assert batch["position"].shape == (4, 4, 2)
    with pytest.raises(ValueError, match="'position'"):
        replay.add(make_episode(6), "cup_catch")


def test_damaged_files_are_skipped(tmp_path):
    """Damage shows as many kinds of exception, by where it is."""
    path = filled(tmp_path / "good", 6).add(make_episode(6), "cup_catch")
    content = path.read_bytes()
    starts = range(0, len(content), 23)
    for number, start in enumerate(starts):
        name = f"{number:06d}-cup_catch-20260101T000000.npz"
        (tmp_path / name).write_bytes(content[:start])
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / name).write_bytes(
            content[:start] + b"\xff" * 20 + content[start + 20 :]
        )
    assert Replay(tmp_path).skipped == len(starts)
    # Overwriting a date in an archive, say, does no harm.
    other = Replay(tmp_path / "other")
    assert other.skipped + other.episodes == len(starts)
    assert other.skipped > other.episodes


def test_a_header_that_is_no_python_is_skipped(tmp_path):
    """NumPy hands it to Python's tokenizer, whose errors are no ValueError."""
    path = filled(tmp_path, 6).add(make_episode(6), "cup_catch")
    # Not compressed, so that headers are plain text, and too large to be read
    # at once, which would show in the archive's checksum.
    np.savez(path, **make_episode(6, size=64))
    damaged = path.read_bytes().replace(b" 'shape'", b"['shape'")
    path.write_bytes(damaged)
    with pytest.raises(tokenize.TokenError):
        np.load(path)["image"]
    assert Replay(tmp_path).skipped == 1


def test_add_refuses_what_does_not_fit(tmp_path):
    replay = filled(tmp_path, 6)
    with pytest.raises(ValueError, match="action.*(3,).*(2,)"):
        replay.add(make_episode(6, action_dim=3), "cup_catch")
    assert replay.episodes == 1 and len(list(tmp_path.iterdir())) == 1


def test_interrupted_write_leaves_no_episode(tmp_path, monkeypatch):
    """A full disk (or a crash) must not leave a file that looks complete."""
    replay = filled(tmp_path, 6)
    seen = []

    def fill_disk(descriptor):
        seen.extend(path.suffix for path in tmp_path.iterdir())
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_disk)
        with pytest.raises(OSError, match="000001-cup.*No space.*intact"):
            replay.add(make_episode(6), "cup_catch")
    assert sorted(seen) == [".npz", ".tmp"]
    assert replay.episodes == 1 and len(list(tmp_path.iterdir())) == 1
    assert replay.add(make_episode(6), "cup_catch").name.startswith("000001")


def test_leftovers_of_a_crash_are_removed(tmp_path):
    path = tmp_path / "000003-cup_catch-20260101T000000.npz.tmp"
    path.write_bytes(b"half an episode")
    assert Replay(tmp_path).skipped == 0 and not path.exists()


@pytest.mark.parametrize("on_disk", [False, True])
def test_mean_image(tmp_path, on_disk):
    """Of all rows of all episodes, with the bits and range the model sees."""
    replay = Replay(tmp_path, on_disk=on_disk)
    rng = np.random.default_rng(0)
    images = []
    for rows in (3, 40):
        images.append(rng.integers(0, 256, [rows, 4, 4, 3], np.uint8))
        episode = make_episode(rows) | {"image": images[-1]}
        replay.add(episode, "cup_catch")
    seen = np.concatenate(images) // 8 / 32 - 0.5
    expected = seen.mean(0) + 1 / 64  # Half a bin, by noise.
    np.testing.assert_allclose(replay.mean_image(5), expected, atol=1e-6)


def test_mean_image_of_several_tasks(tmp_path):
    """As they are drawn: each as often, however long its episodes are."""
    replay = Replay(tmp_path)
    for task, rows, value in (("a", 9, 0), ("b", 2, 96), ("b", 3, 96)):
        episode = make_episode(rows)
        replay.add({**episode, "image": 0 * episode["image"] + value}, task)
    expected = (0 + 96 // 8) / 2 / 32 + 0.5 / 32 - 0.5
    np.testing.assert_allclose(replay.mean_image(5), expected, rtol=1e-6)


def test_every_task_needs_a_chunk(tmp_path):
    """Else it would be left out of training without a word."""
    replay = Replay(tmp_path)
    replay.add(make_episode(9), "long")
    replay.add(make_episode(4), "short")
    replay.sample(np.random.default_rng(0), 2, 4)
    with pytest.raises(ValueError, match="1 episodes of short of at most 4"):
        replay.sample(np.random.default_rng(0), 2, 5)


def test_batch_depends_on_seed_and_update_alone(tmp_path):
    """Where a run was interrupted must not change what it learns from."""
    replay = filled(tmp_path, 30, 40)

    def draw(*args, seed=0):
        return [picks(b) for b in replay.batches(*args, 8, 4, seed=seed)]

    whole = draw(0, 5)
    assert draw(0, 2) + draw(2, 3) == whole
    assert len({str(batch) for batch in whole}) == 5
    assert draw(0, 5, seed=1) != whole
    # Episodes added meanwhile, while the thread runs ahead, change nothing.
    batches = replay.batches(0, 5, 8, 4, seed=0)
    found = [picks(next(batches))]
    replay.add(make_episode(50, 2), "cup_catch")
    assert found + [picks(batch) for batch in batches] == whole
    assert draw(0, 5) != whole


def test_impossible_batches_fail_at_once(tmp_path):
    """The original waits forever for episodes that nobody collects."""
    replay = Replay(tmp_path / "empty")
    with pytest.raises(ValueError, match="empty holds no episode that can"):
        replay.batches(0, 1, 2, 4, seed=0)
    replay = filled(tmp_path, 6)
    with pytest.raises(ValueError, match="at most 6 rows .* need 7"):
        replay.sample(np.random.default_rng(0), 2, 7)
    extra = make_episode(6, position=np.zeros([6, 2], np.float32))
    replay.add(extra, "cup_catch")
    with pytest.raises(ValueError, match="1 of 2 .* no 'position'"):
        replay.batches(0, 1, 2, 4, seed=0, keys=["position"])


def test_errors_of_the_thread_surface(tmp_path, monkeypatch):
    """A thread that dies silently would leave training waiting."""
    replay = filled(tmp_path, 6)
    real = replay_module.sample

    def fail_third(episodes, rng, *args):
        if rng.bit_generator.seed_seq.entropy == [0, 2]:
            raise MemoryError("third batch")
        return real(episodes, rng, *args)

    monkeypatch.setattr(replay_module, "sample", fail_third)
    batches = replay.batches(0, 9, 2, 4, seed=0)
    next(batches), next(batches)
    with pytest.raises(MemoryError, match="third"):
        next(batches)
    assert not replay_threads()


def test_thread_ends_with_its_generator(tmp_path):
    replay = filled(tmp_path, 6)
    batches = replay.batches(0, 1000, 2, 4, seed=0)
    assert not replay_threads()
    next(batches)
    assert replay_threads()
    batches.close()
    assert not replay_threads()
    for _ in replay.batches(0, 1000, 2, 4, seed=0):
        break
    gc.collect()
    assert not replay_threads()


def test_thread_runs_ahead_by_a_few_batches_only(tmp_path, monkeypatch):
    """An unbounded queue would fill the memory."""
    replay = filled(tmp_path, 6)
    drawn = []
    real = replay_module.sample
    monkeypatch.setattr(
        replay_module, "sample", lambda *a: drawn.append(0) or real(*a)
    )
    batches = replay.batches(0, 100, 2, 4, seed=0)
    next(batches)
    # While the first is in use, the next two are drawn, and no more.
    deadline = time.monotonic() + 10
    while len(drawn) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(drawn) == 3
    batches.close()


def test_size_estimate_is_what_images_take(tmp_path):
    assert size_when_full(1000, 250) == 1000 * 251 * 64 * 64 * 3


def replay_threads():
    return [t for t in threading.enumerate() if t.name.startswith("replay")]
