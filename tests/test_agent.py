"""Using a trained agent from Python."""

import dataclasses
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import planet_tf
from planet_tf import build
from tests import runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("agent") / "run"
    runs.make(logdir)
    return logdir


def _images(batch, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, [batch, 64, 64, 3], np.uint8)


def test_five_lines(folder, monkeypatch):
    """The README's example as it stands there, on the run that it names."""
    text = pathlib.Path(__file__).parents[1].joinpath("README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(snippet.splitlines()) <= 5
    (named,) = re.findall(r'load\("~/(.+)"\)', snippet)
    run = folder.parent / "home" / named
    run.parent.mkdir(parents=True)
    run.symlink_to(folder)
    monkeypatch.setenv("HOME", str(folder.parent / "home"))
    variables = {"image": _images(1)[0]}
    exec(snippet, variables)
    action = variables["action"]
    assert action.shape == (2,) and action.dtype == np.float32
    assert np.abs(action).max() <= 1


def test_only_the_agent_speaks(folder):
    """TensorFlow complains that there is no GPU, in several lines."""
    if pathlib.Path("/dev/nvidiactl").exists():
        pytest.skip("with a GPU, what TensorFlow says is shown")
    code = f"import planet_tf; planet_tf.load({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_batches_and_seeds(folder):
    agent = planet_tf.load(folder)

    def act(seed):
        agent.reset(batch=3, seed=seed)
        return agent.act(_images(3))

    assert act(0).shape == (3, 2)
    np.testing.assert_array_equal(act(0), act(0))
    assert np.abs(act(0) - act(1)).max() > 1e-3


def test_weights_are_those_of_the_checkpoint(folder, monkeypatch):
    """An agent with fresh weights acts as confidently as a trained one."""
    built = []
    original = build.world_model
    monkeypatch.setattr(
        build,
        "world_model",
        lambda *args: built.append(original(*args)) or built[-1],
    )
    for name in (None, 3):
        assert planet_tf.load(folder, name).run.updates == (name or 7)
    newest, older = built
    expected = runs.make(folder.parent / "again", updates=[7])
    for loaded, other, saved in zip(
        newest.variables, older.variables, expected.variables, strict=True
    ):
        np.testing.assert_array_equal(loaded, saved)
        if len(saved.shape) > 1:  # Biases begin equal.
            assert np.abs(np.asarray(other - saved)).max() > 0


def test_only_the_planner_can_be_replaced(folder):
    """Another parameter would have no effect, or not fit the weights."""
    with pytest.raises(TypeError, match="free_nats cannot .* planner_horizon"):
        planet_tf.load(folder, free_nats=1)
    with pytest.raises(TypeError, match="horizon cannot"):
        planet_tf.load(folder, policy=True, horizon=1)


def test_diagnostics_and_planner(tmp_path):
    """A run with heads for simulator variables; another search."""
    config = dataclasses.replace(runs.TINY, state_diagnostics=True)
    runs.make(tmp_path, config, updates=[1])
    agent = planet_tf.load(tmp_path, planner_iterations=5)
    assert agent.run.config.planner_iterations == 5
    with pytest.raises(ValueError, match="planner_topk=99"):
        planet_tf.load(tmp_path, planner_topk=99)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros([64, 64, 3]), "uint8"),
        (np.zeros([3, 64, 64], np.uint8), "[3, 64, 64]"),
        (np.zeros([2, 64, 64, 3], np.uint8), "[2, 64, 64, 3]"),
    ],
)
def test_bad_images_are_refused(folder, image, message):
    """Floats in [0, 1] would look black, and be acted on."""
    agent = planet_tf.load(folder)
    with pytest.raises(RuntimeError, match="reset"):
        agent.act(image)
    agent.reset()
    with pytest.raises(ValueError, match=re.escape(message)):
        agent.act(image)


def test_a_run_may_delete_the_newest_checkpoint_meanwhile(folder, monkeypatch):
    """Training keeps two; what was newest is gone two episodes later."""
    found = runs.delete_meanwhile(monkeypatch, folder)
    assert planet_tf.load(folder).run.updates == 7
    assert len(found) == 2
