"""Our numbers against those of the original code (`tests/golden`)."""

import json
import multiprocessing
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build
from planet_tf.config import Config
from planet_tf.tools.golden import original_variables
from scripts import check_parity
from scripts.parity import acting, model, training
from scripts.parity.probe import play
from scripts.parity.report import EXACT, LAYER, SETTINGS, Parity

GOLDEN = pathlib.Path(__file__).parent / "golden"
_REACHER = ("action", "state", "obs_to_target")


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


def test_small_differences_of_large_numbers(tmp_path):
    """1e-3 nats beyond 3 are not known to 1e-5; nor may they be anything."""
    parity = _parity(tmp_path, x=np.array([0.0, 1e-3]))
    parity.check("file:x", [0.0, 1.002e-3], LAYER)
    parity.check("file:x", [0.0, 1.002e-3], LAYER, least=3.0)
    parity.check("file:x", [0.0, 1.1e-3], LAYER, least=3.0)
    parity.check("file:x", [0.0, 1.002e-3], LAYER, least=1e-6)
    passed = [check.passed for check in parity.checks]
    assert passed == [False, True, False, False]


def test_names_are_compared(tmp_path):
    """Strings have no difference; equal is all they can be."""
    parity = _parity(tmp_path, x=np.array(["float32", "uint8"]))
    parity.check("file:x", ["float32", "uint8"], EXACT)
    parity.check("file:x", ["float32", "int8"], EXACT)
    assert [check.passed for check in parity.checks] == [True, False]


def test_settings_of_a_folder(tmp_path):
    """A folder made with other settings says so, and a typo is not ignored."""
    assert Parity(tmp_path).settings == SETTINGS
    path = tmp_path / "settings.json"
    path.write_text('{"exploration": 0.5}')
    assert Parity(tmp_path).settings == {**SETTINGS, "exploration": 0.5}
    path.write_text('{"explore": 0.5}')
    with pytest.raises(ValueError, match="settings.json: .* explore; there"):
        Parity(tmp_path)
    for damaged in ("[1]", "{"):
        path.write_text(damaged)
        with pytest.raises(ValueError, match="settings.json (is not|cannot)"):
            Parity(tmp_path)


@pytest.mark.parametrize("elites", [1, 3, 7])
def test_elites_follow_from_their_gap(tmp_path, elites):
    """The folder does not hold their number."""
    rng = np.random.default_rng(0)
    returns = rng.normal(size=[4, 16]).astype(np.float32)
    ranked = np.sort(returns)[:, ::-1]
    gap = ranked[:, elites - 1] - ranked[:, elites]
    arrays = {"returns": returns, "elite_gap": gap}
    arrays = {f"{x}_{k}": v for x in ("mean", "eps") for k, v in arrays.items()}
    np.savez(tmp_path / "cem.npz", **arrays)
    assert acting.elites(Parity(tmp_path)) == elites


def test_sizes_follow_from_the_shapes(tmp_path):
    """A folder of a smaller model needs no change here."""
    sizes = {"model_size": 7, "state_size": 3, "num_layers": 2, "num_units": 5}
    for file in model.CELLS:
        config = Config(model=file, conv_depth=2, **sizes)
        variables = original_variables(build.world_model(config, 4))
        shapes = {k: list(v.shape) for k, v in variables.items()}
        np.savez(
            tmp_path / f"{file}.npz",
            var_names=list(shapes),
            var_shapes=[json.dumps(shape) for shape in shapes.values()],
        )
        np.savez(tmp_path / "inputs.npz", action=np.zeros([2, 6, 4]))
        ours = original_variables(model.build(Parity(tmp_path), file))
        assert {k: list(v.shape) for k, v in ours.items()} == shapes


def test_gradients_where_a_unit_switches(tmp_path):
    """One entry may be off by a little; a small variable may not be wrong."""
    rng = np.random.default_rng(0)
    large, small = rng.normal(size=[2, 4096]) * [[1.0], [1e-3]]
    parity = _parity(
        tmp_path,
        sample_index=np.tile(np.arange(32), [2, 1]),
        x_grad_norm=np.linalg.norm([large, small], axis=1),
        x_grad_sample=np.stack([large[:32], small[:32]]),
    )

    def passed(*gradients):
        del parity.checks[:]
        gradients = [tf.constant(gradient) for gradient in gradients]
        training._check_gradients(parity, "file:x", gradients, "file:")
        return [check.passed for check in parity.checks]

    switched = np.where(np.arange(4096) == 3, large + 0.03, large)
    assert passed(switched, small) == [True, True]
    assert passed(large, 1.05 * small) == [False, False]


def test_worlds_begin_as_the_folder_says():
    """Another seed draws another state, and another target for a reacher."""
    with np.load(GOLDEN / "physics.npz") as arrays:
        array = {x: arrays[f"reacher_easy_{x}"] for x in _REACHER}
    start = array["state"][0] + 0.5
    target = array["obs_to_target"][0] - 0.05
    process = multiprocessing.get_context("spawn").Pool(1)
    with process:
        played = process.apply(
            play, ("reacher_easy", array["action"], start, target, False)
        )
    np.testing.assert_array_equal(played["physics_state"][0], start)
    np.testing.assert_allclose(played["to_target"][0], target, atol=1e-6)
    assert played["length"] == len(array["action"])


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
