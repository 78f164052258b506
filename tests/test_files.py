"""Files that are complete or not there, and paths as typed."""

import pathlib

import pytest

from planet_tf.tools.files import atomic_write, csv_text, expanded, write_text


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Readers must never see a part."""
    path = tmp_path / "x"
    with atomic_write(path) as file:
        file.write(b"old")
    with pytest.raises(KeyError), atomic_write(path) as file:
        file.write(b"ne")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_home_is_expanded_where_there_is_one():
    assert expanded("~/x") == pathlib.Path.home() / "x"
    assert expanded("~nobody-of-that-name/x").parts[0] == "~nobody-of-that-name"


def test_text_and_csv(tmp_path):
    """Line breaks as on Linux, and numbers in full."""
    rows = [("a", "b"), {"a": 0.1 + 0.2, "b": "x, y"}.values()]
    write_text(tmp_path / "new" / "t.csv", csv_text(rows) + "–\n")
    content = (tmp_path / "new" / "t.csv").read_bytes()
    assert content == 'a,b\n0.30000000000000004,"x, y"\n–\n'.encode()
