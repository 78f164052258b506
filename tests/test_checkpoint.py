"""What a checkpoint brings back, and what it does with damaged ones."""

import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config
from planet_tf.training import checkpoint as checkpoint_module
from planet_tf.training.checkpoint import (
    Checkpoint,
    Position,
    restore_weights,
)
from planet_tf.training.learner import Learner

TINY = config.Config(
    conv_depth=1,
    model_size=4,
    state_size=2,
    num_layers=1,
    num_units=4,
    center_images=True,
)


def _parts(directory, seed=0, learning_rate=1e-3):
    tf.keras.utils.set_random_seed(seed)
    model = build.world_model(TINY, 1)
    learner = Learner(model, learning_rate)
    return model, learner, Checkpoint(directory, model, learner.optimizer)


def _train(model, learner):
    """Changes every variable and Adam slot without compiling a graph."""
    rng = np.random.default_rng(0)
    gradients = [
        tf.constant(rng.normal(size=v.shape), tf.float32)
        for v in model.trainable_variables
    ]
    learner.optimizer.apply(gradients, model.trainable_variables)
    model.background.assign(rng.normal(size=[64, 64, 3]))


def _values(model, learner):
    variables = model.weights + learner.optimizer.variables
    return [v.numpy() for v in variables]


def test_brings_back_everything(tmp_path):
    """Weights alone are not enough: Adam's moments and step count matter."""
    model, learner, checkpoint = _parts(tmp_path)
    assert checkpoint.restore() is None
    _train(model, learner)
    position = Position(
        7, 12.5, ({"loss": 0.1 + 0.2, "skipped": math.nan},), 4, 5, 6.5
    )
    checkpoint.save(position)
    saved = _values(model, learner)
    model, learner, checkpoint = _parts(tmp_path, seed=1)
    np.testing.assert_equal(checkpoint.restore(), position)
    for old, new in zip(saved, _values(model, learner), strict=True):
        np.testing.assert_array_equal(old, new)


def test_learning_rate_may_be_changed(tmp_path):
    """With the checkpoint's, --allow_config_change would change nothing."""
    _, _, checkpoint = _parts(tmp_path)
    checkpoint.save(Position(1))
    _, learner, checkpoint = _parts(tmp_path, learning_rate=0.5)
    checkpoint.restore()
    assert float(learner.optimizer.learning_rate) == 0.5


def test_damaged_newest_falls_back(tmp_path, caplog):
    """A crash while writing must cost one checkpoint, not the run."""
    model, learner, checkpoint = _parts(tmp_path)
    checkpoint.save(Position(1, 1.0))
    _train(model, learner)
    checkpoint.save(Position(2, 2.0))
    (data,) = tmp_path.glob("ckpt-2.data*")
    data.write_bytes(data.read_bytes()[:1000])
    _, _, checkpoint = _parts(tmp_path, seed=1)
    assert checkpoint.restore() == Position(1, 1.0)
    assert "ckpt-2 to" in caplog.text
    # One that cannot be read is not one of the two that are kept.
    (tmp_path / "damaged" / "ckpt-2.index").stat()
    checkpoint.save(Position(3))
    assert _names(tmp_path) == {"ckpt-1", "ckpt-3", "damaged"}


class Killed(BaseException):
    """Ends `save` at once, as no handler expects it."""


def _write_before_index(function):
    """TensorFlow's `write`, killed once the data is in its place."""

    def write(checkpoint, path):
        index = pathlib.Path(f"{path}.index")
        old = index.read_bytes() if index.exists() else b""
        function(checkpoint, path)
        index.write_bytes(old)
        raise Killed

    return write


def _small(directory):
    """For what does not depend on the weights."""
    model = tf.Module()
    model.weight = tf.Variable(0.0)
    return Checkpoint(directory, model, tf.keras.optimizers.Adam())


def test_killed_in_tensorflow_the_same_update_is_kept(tmp_path, monkeypatch):
    """New data with the old index made it, and all there was, unreadable."""
    checkpoint = _small(tmp_path)
    checkpoint.save(Position(4, 1.0))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kind = tf.train.Checkpoint
        patch.setattr(kind, "write", _write_before_index(kind.write))
        checkpoint.save(Position(4, 2.0))
    checkpoint = _small(tmp_path)
    assert checkpoint.restore() == Position(4, 1.0)
    checkpoint.save(Position(5))
    assert _names(tmp_path) == {"ckpt-4", "ckpt-5"}


@pytest.mark.parametrize("count", range(3))
def test_killed_between_moves_the_same_update_is_kept(
    tmp_path, monkeypatch, count
):
    """The folder's move decides; what follows is done again."""
    checkpoint = _small(tmp_path)
    checkpoint.save(Position(4, 1.0))
    replace, calls = pathlib.Path.replace, []

    def killed(*paths):
        if len(calls) == count:
            raise Killed
        calls.append(paths)
        return replace(*paths)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pathlib.Path, "replace", killed)
        checkpoint.save(Position(4, 2.0))
    checkpoint = _small(tmp_path)
    assert checkpoint.restore() == Position(4, 2.0 if count else 1.0)
    checkpoint.save(Position(5))
    assert _names(tmp_path) == {"ckpt-4", "ckpt-5"}


def _names(directory):
    return {path.name.partition(".")[0] for path in directory.iterdir()}


def test_nothing_readable_is_an_error(tmp_path):
    """Silently starting again would overwrite days of training."""
    _, _, checkpoint = _parts(tmp_path)
    checkpoint.save(Position(1, 1.0))
    (data,) = tmp_path.glob("ckpt-1.data*")
    data.unlink()
    _, _, checkpoint = _parts(tmp_path, seed=1)
    with pytest.raises(ValueError, match="None of the .* Move that folder"):
        checkpoint.restore()
    checkpoint.save(Position(1), best=True)
    with pytest.raises(ValueError, match="Copy the files in .*best"):
        checkpoint.restore()


def test_keeps_the_newest(tmp_path):
    """Without a limit, a long run fills the disk."""
    _, _, checkpoint = _parts(tmp_path)
    for updates in range(4):
        checkpoint.save(Position(updates))
    names = {path.name for path in tmp_path.glob("*.index")}
    assert names == {"ckpt-2.index", "ckpt-3.index"}


def test_newest_is_the_one_with_most_updates(tmp_path):
    """Not the last one written, nor the last by name."""
    _, _, checkpoint = _parts(tmp_path)
    checkpoint.save(Position(10, 1.0))
    checkpoint.save(Position(9, 1.0))
    _, _, checkpoint = _parts(tmp_path, seed=1)
    assert checkpoint.restore().updates == 10


def test_best_is_kept_apart(tmp_path):
    """It outlives the newest ones, and is never taken for one of them."""
    model, learner, checkpoint = _parts(tmp_path)
    for updates in (4, 3):
        checkpoint.save(Position(updates), best=True)
    saved = _values(model, learner)
    _train(model, learner)
    checkpoint.save(Position(5))
    assert [p.name for p in tmp_path.glob("best/*.index")] == ["ckpt-3.index"]
    model, learner, checkpoint = _parts(tmp_path, seed=1)
    assert checkpoint.restore() == Position(5)
    model, learner, checkpoint = _parts(tmp_path / "best", seed=1)
    assert checkpoint.restore() == Position(3)
    for old, new in zip(saved, _values(model, learner), strict=True):
        np.testing.assert_array_equal(old, new)


def test_leftovers_of_a_crash_are_removed(tmp_path):
    """Else every crash would leave a model's worth of them."""
    _, _, checkpoint = _parts(tmp_path)
    (tmp_path / "ckpt-1_temp").mkdir()
    (tmp_path / "ckpt-1_temp" / "part").write_text("")
    (tmp_path / "ckpt-1.data-00000-of-00001").write_text("")
    checkpoint.save(Position(2))
    assert all(p.name.startswith("ckpt-2.") for p in tmp_path.iterdir())


def test_weights_alone_are_all_of_them(tmp_path):
    """Layers in lists were left as initialised, without any complaint."""
    model, learner, checkpoint = _parts(tmp_path)
    _train(model, learner)
    checkpoint.save(Position(3))
    other, _, _ = _parts(tmp_path / "other", seed=1)
    restore_weights(tmp_path / "ckpt-3", other)
    for old, new in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_is_on_disk_before_it_is_in_place(tmp_path, monkeypatch):
    """Else a power cut would leave names without content."""
    synced = set()
    monkeypatch.setattr(
        checkpoint_module, "sync", lambda path: synced.add(path.name)
    )
    replace = pathlib.Path.replace

    def checked(path, target):
        if path.is_dir():
            assert {path.name, *(x.name for x in path.iterdir())} == synced
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", checked)
    _, _, checkpoint = _parts(tmp_path)
    checkpoint.save(Position(1))
    assert "ckpt-1.index" in synced and tmp_path.name in synced


def test_weights_to_act_are_not_those_of_an_earlier_round(tmp_path):
    """The option was off for a while; a round then acts with the newest."""
    weights = {}
    for updates, option in enumerate([True, False, True]):
        model, learner, _ = _parts(tmp_path, seed=updates)
        acting = build.world_model(TINY, 1) if option else None
        checkpoint = Checkpoint(
            tmp_path, model, learner.optimizer, acting=acting
        )
        checkpoint.restore()
        weights[updates] = acting and acting.get_weights()
        _train(model, learner)
        checkpoint.save(Position(updates))
    newest = build.world_model(TINY, 1)
    restore_weights(tmp_path / "ckpt-1", newest)
    for old, new in zip(weights[2], newest.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
