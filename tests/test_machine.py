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
    assert first["cores"] == len(os.sched_getaffinity(0))
    assert first["mujoco"].split(".")[0].isdigit()


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
