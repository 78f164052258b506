"""Whatever comes in, the answer is a value or one clear error.

Thousands of inputs that hypothesis makes up: most of them slightly wrong.
"""

import math
import shutil
import string
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import yaml
from absl import flags
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planet_tf import command, config, config_flags, train
from planet_tf.tools import parameters
from planet_tf.tools.replay import Replay
from planet_tf.training import trainer
from planet_tf.training.checkpoint import Checkpoint, Position
from planet_tf.validation import validate


def many(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


FIELDS = sorted(parameters.fields(config.Config))
NAMES = st.sampled_from(FIELDS) | st.text(
    string.ascii_lowercase + "_", max_size=9
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 2, -1, 10**400])
WORDS = st.sampled_from(
    ["rssm", "none", "true", "1e9", "1e999", "nan", "50,50", "0x", "2020-99-01"]
    + ["!!python/object/apply:os.system [ls]", "&a [*a]", "{", "cup_catch"]
)
PLAIN = st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=9)
VALUES = st.recursive(
    PLAIN,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(PLAIN, x, max_size=2),
    max_leaves=4,
)


def _as_yaml(value):
    """YAML text, with words that `safe_dump` would put into quotes as is."""
    return yaml.safe_dump(value, default_flow_style=True).replace("'", "")


PARAMS = st.dictionaries(NAMES, VALUES, max_size=3).map(_as_yaml) | st.text(
    max_size=30
)


COMMAND_LINE = flags.FlagValues()
config_flags.define(COMMAND_LINE)


def _accepted(arguments):
    """The config of a command line; None if it is refused in order."""
    values = COMMAND_LINE
    _reset(values)
    try:
        values(["train", *arguments])
    except flags.Error:
        return None
    try:
        result = config_flags.read(values)
    except ValueError as error:
        assert str(error).startswith("--"), "names the flag"
        return None
    validate(result)
    for name in FIELDS:
        value = getattr(result, name)
        for number in value if isinstance(value, tuple) else (value,):
            assert not isinstance(number, int) or abs(number) < 2**31
    return result


def _reset(values):
    values.unparse_flags()
    for name in values:
        values[name].unparse()


@many(1200)
@given(NAMES, st.one_of(PLAIN.map(str), VALUES.map(_as_yaml)))
@example("batch_shape", "1e999,2")
@example("tasks", "gym:")
@example("planner_amount", "1e300")
def test_flags(name, value):
    _accepted([f"--{name}={value}"])


@many(1200)
@given(PARAMS)
@example("{seed: 2020-99-01}")
@example("[" * 300)  # Deeper than Python recurses.
@example("{batch_shape: 1" + "0" * 5000 + "}")
def test_params(params):
    _accepted([f"--params={params}"])


@many(200)
@given(st.dictionaries(NAMES, VALUES, max_size=3), st.data())
def test_config_files(tmp_path_factory, values, data):
    """Text that was edited, cut off or written over."""
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    config.save(config.Config(), path)
    content = bytearray(path.read_bytes())
    content += _as_yaml(values).encode("utf-8", "replace")
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        loaded = config.load(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(loaded, config.Config)


@pytest.fixture(scope="module")
def command_line():
    """The flags of `planet_tf.train`, for as long as this module runs."""
    before = set(flags.FLAGS)
    train.define_flags()
    yield flags.FLAGS
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@many(100)
@given(NAMES, PLAIN.map(str))
def test_nothing_is_written_before_the_input_is_accepted(
    command_line, tmp_path_factory, name, value
):
    logdir = tmp_path_factory.getbasetemp() / "none" / "run"
    shutil.rmtree(logdir.parent, ignore_errors=True)
    _reset(command_line)
    arguments = ["train", f"--logdir={logdir}", f"--{name}={value}"]
    with (
        mock.patch.object(trainer, "train") as trained,
        mock.patch.object(train, "choose_backend_for"),
        mock.patch.object(train, "stop_in_order"),
    ):
        try:
            command.parse(arguments)
            train.main()
        except SystemExit as error:
            assert error.code == 2
            assert not logdir.parent.exists()
            assert not trained.called
        else:
            assert trained.called


DTYPES = ["u1", "f4", "f8", "i8", "?", "c8", "U3", "M8[s]", "O", "V4"]
TAILS = [(), (0,), (2,), (3,), (64, 64, 3), (8, 8, 3), (64, 64)]
ARRAYS = st.builds(
    lambda dtype, rows, tail, value: np.full(
        (*rows, *tail), value, "f8"
    ).astype(dtype),
    st.sampled_from(DTYPES),
    st.sampled_from([(), (0,), (1,), (4,), (4,), (5,)]),
    st.sampled_from(TAILS),
    st.sampled_from([0.0, 1.0, math.nan, math.inf]),
)


def _episode(rows=4):
    return {
        "image": np.zeros((rows, 64, 64, 3), "u1"),
        "action": np.zeros((rows, 2), "f4"),
        "reward": np.zeros((rows,), "f8"),
    }


@many(200)
@given(
    st.dictionaries(
        st.sampled_from(["image", "action", "reward", "pos"]), ARRAYS
    ),
    st.sampled_from(["000001-cup_catch-20260101T000000.npz", "x.npz"]),
    st.data(),
)
@pytest.mark.filterwarnings("ignore")  # NumPy about the odd casts.
def test_episode_files(tmp_path_factory, changes, name, data):
    """A file is used or skipped; what is used can be trained on."""
    directory = tmp_path_factory.getbasetemp() / "episodes"
    shutil.rmtree(directory, ignore_errors=True)
    Replay(directory).add(_episode(), "cup_catch")
    episode = _episode(data.draw(st.sampled_from([4, 5]))) | changes
    path = directory / name
    np.savez(path, **episode)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path.write_bytes(content)
    replay = Replay(directory, tasks=["cup_catch"])
    assert replay.episodes + replay.skipped == 2
    for batch in replay.batches(0, 2, 4, 4, seed=0):
        assert batch["image"].shape == (4, 4, 64, 64, 3)
        assert batch["image"].dtype == np.uint8
        assert batch["action"].shape == (4, 4, 2)
        assert np.isfinite(batch["reward"]).all()


def _checkpoint(directory):
    model = tf.Module()
    model.weights = tf.Variable(tf.zeros([10]))
    return Checkpoint(directory, model, tf.keras.optimizers.SGD())


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two intact ones, to be damaged in copies."""
    directory = tmp_path_factory.mktemp("checkpoints")
    checkpoint = _checkpoint(directory)
    checkpoint.save(Position(5))
    checkpoint.save(Position(6))
    return directory, checkpoint


FILES = [
    f"ckpt-{x}.{y}" for x in (5, 6, 7) for y in ("index", "data-00000-of-00001")
]


@many(100)
@given(
    st.dictionaries(
        st.sampled_from([*FILES, "ckpt-x.index", "ckpt-.index", "ckpt-7_temp"]),
        st.none()
        | st.binary(max_size=20)
        | st.tuples(st.floats(0, 1), st.integers(1, 255)),
        max_size=4,
    )
)
def test_checkpoint_folders(checkpoints, tmp_path_factory, damage):
    """The newest that is intact, or one line that says there is none."""
    source, checkpoint = checkpoints
    directory = tmp_path_factory.getbasetemp() / "damaged"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(source, directory)
    for name, what in damage.items():
        path = directory / name
        if what is None:
            path.unlink(missing_ok=True)
        elif isinstance(what, bytes):
            path.write_bytes(what)
        elif path.exists():
            content = bytearray(path.read_bytes())
            content[int(what[0] * (len(content) - 1))] ^= what[1]
            path.write_bytes(content)
    checkpoint._directory = directory
    touched = {int(x[5]) for x in damage if x in FILES}
    intact = {5, 6} - touched
    try:
        position = checkpoint.restore()
    except ValueError as error:
        assert not intact
        assert "None of the checkpoints" in str(error)
    else:
        if intact:
            assert position.updates >= max(intact)
        checkpoint.save(Position(8))
        assert checkpoint.restore() == Position(8)
