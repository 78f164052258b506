"""Where a result comes from."""

import json
import os

from planet_tf import __version__, machine


def test_every_start_is_a_line(tmp_path):
    """What a run was continued on must not hide where it began."""
    path = tmp_path / "machine.jsonl"
    machine.record(path, 0, [])
    machine.record(path, 7, ["A GPU"])
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["updates"], second["updates"]) == (0, 7)
    assert second["gpus"] == ["A GPU"] and first["planet_tf"] == __version__
    assert first["cores"] == machine.cores()
    assert first["mujoco"].split(".")[0].isdigit()


def test_cores_of_a_container(tmp_path, monkeypatch):
    """It may keep fewer busy than it sees: TensorFlow would wait for others."""
    names = ("cpu.max", "quota", "period")
    new, *old = (tmp_path / name for name in names)
    monkeypatch.setattr(machine, "_QUOTAS", [(new,), old])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert machine.cores() == 8
    for text, count in (
        ("max 100000", 8),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("900000 100000", 8),
    ):
        new.write_text(text + "\n")
        assert machine.cores() == count
    for quota, count in ((-1, 8), (300_000, 3)):
        old[0].write_text(f"{quota}\n")
        old[1].write_text("100000\n")
        assert machine.cores() == count


def test_commit_is_that_of_this_code(tmp_path, monkeypatch):
    """And of no repository that it happens to be installed in."""
    repository = tmp_path / "repository"
    package = repository / "planet_tf"
    package.mkdir(parents=True)
    monkeypatch.setattr(machine, "__file__", str(package / "machine.py"))
    assert machine.commit() is None

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        machine.subprocess.run(
            ["git", "-C", str(repository), *identity, *arguments],
            check=True,
            capture_output=True,
        )

    git("init")
    (package / "x").write_text("1")
    git("add", "-A")
    git("commit", "-m", "x")
    clean = machine.commit()
    assert len(clean) >= 7 and "-" not in clean
    (package / "x").write_text("2")
    assert machine.commit() == f"{clean}-dirty"
