"""What is found in the folder of a run, and what is said otherwise."""

import pytest

from planet_tf import config, run_folder
from tests import runs


@pytest.fixture
def folder(tmp_path):
    config.save(runs.TINY, tmp_path / "config.yaml")
    (tmp_path / "checkpoints").mkdir()
    for number in (9, 10):
        (tmp_path / "checkpoints" / f"ckpt-{number}.index").touch()
    # Not a checkpoint, and not to be stumbled over.
    (tmp_path / "checkpoints" / "ckpt-best.index").touch()
    return tmp_path


def test_newest_by_number(folder):
    """By name, 9 would come after 10."""
    runs.episode(folder)
    run = run_folder.find(folder)
    assert (run.updates, run.checkpoint.name) == (10, "ckpt-10")
    assert run_folder.find(folder, 9).updates == 9
    assert run_folder.find(folder, "9").updates == 9
    assert run.action_dim == 2
    assert run.observations == {"image": (64, 64, 3), "position": (5,)}


def test_best_by_name_and_by_number(folder):
    """It may be older than any other that is left."""
    runs.episode(folder)
    with pytest.raises(ValueError, match="no checkpoint best, only 10, 9"):
        run_folder.find(folder, "best")
    (folder / "checkpoints" / "best").mkdir()
    (folder / "checkpoints" / "best" / "ckpt-3.index").touch()
    for name in ("best", 3):
        run = run_folder.find(folder, name)
        assert run.updates == 3
        assert run.checkpoint == folder / "checkpoints" / "best" / "ckpt-3"
    assert run_folder.find(folder).updates == 10


def test_damaged_episodes_are_passed_over(folder):
    path = runs.episode(folder)
    good = path.read_bytes()
    later = path.with_name("000009-cup_catch-20200101T000000.npz")
    for damaged in (b"", b"PK\x03\x04", good[:200], good[:-300]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="no recorded episode"):
            run_folder.find(folder)
    later.write_bytes(good)
    assert run_folder.find(folder).action_dim == 2


def test_a_folder_that_may_not_be_entered(powerless):
    """The answer is a flag to change, not a file that nobody named."""
    logdir = powerless / "closed" / "run"
    with pytest.raises(OSError, match=f"--logdir={logdir}: .* Choose a folder"):
        run_folder.prepare(config.Config(), logdir, change=False)
    with (
        pytest.raises(OSError, match=f"--logdir={logdir}: .* Choose a folder"),
        run_folder.locked(logdir),
    ):
        pass


def test_a_link_to_nothing(tmp_path):
    """A disk that is not mounted, say."""
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for logdir in (tmp_path / "link", tmp_path / "link" / "run"):
        with (
            pytest.raises(OSError, match=f"to {tmp_path}/gone, which is not"),
            run_folder.locked(logdir),
        ):
            pass
    (tmp_path / "gone").touch()
    with (
        pytest.raises(OSError, match="File exists"),
        run_folder.locked(tmp_path / "link"),
    ):
        pass


def test_what_is_missing_is_said(folder):
    with pytest.raises(ValueError, match="no recorded episode"):
        run_folder.find(folder)
    with pytest.raises(ValueError, match="no checkpoint 5, only 10, 9"):
        run_folder.find(folder, 5)
    for path in folder.glob("checkpoints/*"):
        path.unlink()
    with pytest.raises(ValueError, match="no checkpoint yet"):
        run_folder.find(folder)
    (folder / "config.yaml").unlink()
    with pytest.raises(ValueError, match="holds no run"):
        run_folder.find(folder)
