"""Tables beside the original's curve, against figures computed by hand."""

import json
import math
import sys

import pytest

from scripts import learning_parity

ORIGINAL = """\
kind,phase_or_split,global_step_or_episode,reward_log_prob,\
divergence_after_free_nats,image_log_prob,grad_norm,return
episode,train,5,,,,,999
objectives,train,0,-3,2.5,-11600,,
objectives,train,304,-2,0.5,-11400,,
grad_norm,train,304,,,,64,
episode,train,6,,,,,10
objectives,test,640,-99,99,-99999,,
episode,test,6,,,,,30
objectives,train,1904,-1,0.25,-11300,,
grad_norm,train,1904,,,,16,
episode,train,11,,,,,20
episode,test,7,,,,,50
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "original.csv").write_text(ORIGINAL)
    for seed, image in enumerate((-11390.0, -11380.0)):
        run = tmp_path / f"seed{seed}"
        run.mkdir()
        (run / "config.yaml").write_text(
            "{tasks: [cup_catch], batch_shape: [16, 25]}"
        )
        test = {"test/return_cup_catch": 40.0}
        points = [
            {"updates": u, "episodes": e, "train/image": image + u}
            | {"train/reward": -1.0, "train/divergence": 0.0}
            | {"train/grad_norm": 8.0, "train/return_cup_catch": 10.0 * e}
            | (test if e == 11 else {})
            for u, e in ((20, 6), (120, 11))
        ]
        lines = "".join(json.dumps(point) + "\n" for point in points)
        (run / "metrics.jsonl").write_text(lines)
    return tmp_path


def run(folder, monkeypatch, *names):
    paths = [str(folder / name) for name in names]
    options = [f"--original={folder}/original.csv", f"--out={folder}/out"]
    monkeypatch.setattr(sys, "argv", ["learning_parity", *paths, *options])
    learning_parity.main()


def test_original_without_seed_episodes_and_tests(folder):
    curves = learning_parity.read_original(folder / "original.csv", 16)
    image = curves["image log-probability"]
    assert image.tolist() == [[1, -11600], [20, -11400], [120, -11300]]
    assert curves["return of training"].tolist() == [[6, 10], [11, 20]]
    assert curves["return of tests"].tolist() == [[6, 30], [11, 50]]


def test_table(folder, monkeypatch, capsys):
    run(folder, monkeypatch, "seed0", "seed1")
    rows = learning_parity.compare(
        learning_parity.read_original(folder / "original.csv", 16),
        [learning_parity.read_run(folder / f"seed{n}") for n in (0, 1)],
    )
    first, *_, last = rows[: learning_parity.STRETCHES]
    assert first == {
        "measure": "image log-probability",
        "from": 0,
        "to": 20,
        "original": (-11600 - 19 * 11400) / 20,
        "mean": -11365.0,
        "lowest": -11370.0,
        "highest": -11360.0,
    }
    assert (last["from"], last["to"], last["original"]) == (100, 120, -11300)
    assert math.isnan(rows[1]["original"])  # Nothing logged: not filled in.
    assert len((folder / "out/learning_parity.csv").read_text().split()) > 36
    assert (folder / "out/learning_parity.png").stat().st_size > 10_000
    assert "learning_parity.png" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("break_it", ["damage", "remove", "no test"])
def test_what_cannot_be_read_is_one_line(folder, monkeypatch, capsys, break_it):
    path = folder / "seed0" / "metrics.jsonl"
    if break_it == "damage":
        path.write_text("{")
    elif break_it == "remove":
        path.unlink()
    else:
        path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(SystemExit) as stop:
        run(folder, monkeypatch, "seed0")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1
