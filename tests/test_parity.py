"""Our numbers against those of the original code (`tests/golden`)."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from scripts import check_parity
from scripts.parity.report import EXACT, LAYER, Parity

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.mark.parametrize("file", check_parity.SECTIONS)
def test_file(file):
    """Any change to what is computed, and any array nobody compares."""
    parity = Parity(GOLDEN)
    check_parity.section(file)(parity)
    assert [check for check in parity.checks if not check.passed] == []
    assert parity.unread(file) == []


def _parity(tmp_path, **arrays):
    np.savez(tmp_path / "file.npz", **arrays)
    return Parity(tmp_path)


def test_not_a_number_fails(tmp_path):
    """NaN is neither above a tolerance nor below; it must not pass."""
    parity = _parity(tmp_path, x=np.ones(3))
    parity.check("file:x", [1.0, np.nan, 1.0], tolerance=1.0)
    assert not parity.checks[0].passed


def test_unknown_numbers_only_have_to_be_finite(tmp_path):
    """Where the original has NaN, anything finite passes, and nothing else."""
    parity = _parity(tmp_path, x=np.array([2.0, np.nan]))
    parity.check("file:x", [2.0, 7.0], LAYER)
    parity.check("file:x", [2.0, np.inf], LAYER)
    parity.check("file:x", [2.1, 7.0], LAYER)
    assert [check.passed for check in parity.checks] == [True, False, False]


def test_rows_have_their_own_scale(tmp_path):
    """A large variable must not hide the error of a small one."""
    parity = _parity(tmp_path, x=np.array([[1e6, 1e6], [1.0, 1.0]]))
    ours = [[1e6, 1e6], [1.0, 1.5]]
    parity.check("file:x", ours, LAYER)
    parity.check("file:x", ours, LAYER, rows=True)
    assert [check.passed for check in parity.checks] == [True, False]


def test_names_are_compared(tmp_path):
    """Strings have no difference; equal is all they can be."""
    parity = _parity(tmp_path, x=np.array(["float32", "uint8"]))
    parity.check("file:x", ["float32", "uint8"], EXACT)
    parity.check("file:x", ["float32", "int8"], EXACT)
    assert [check.passed for check in parity.checks] == [True, False]


def test_command(tmp_path, monkeypatch, capsys):
    """The exit status is for scripts: 0 only when everything passes."""
    monkeypatch.setattr(
        check_parity, "SECTIONS", {"gru": check_parity.SECTIONS["gru"]}
    )
    file = tmp_path / "gru.npz"
    shutil.copy(GOLDEN / "gru.npz", file)
    assert check_parity.main([str(tmp_path)]) == 0
    assert "gru:h_next" in capsys.readouterr().out

    with np.load(file) as arrays:
        arrays = dict(arrays)
    np.savez(file, **{**arrays, "h_next": arrays["h_next"] * 1.0001})
    assert check_parity.main([str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = [x["array"] for x in report["checks"] if not x["passed"]]
    assert failed == ["gru:h_next"] and not report["passed"]

    np.savez(file, **arrays, new=[1.0])
    assert check_parity.main([str(tmp_path)]) == 1
    assert "gru:new: nothing compares this array" in capsys.readouterr().out

    file.write_bytes(b"damaged")
    assert check_parity.main([str(tmp_path)]) == 1
