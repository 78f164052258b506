"""bfloat16 where it is meant to be, nowhere else, and close to float32."""

import dataclasses
import itertools
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from planet_tf import build, config, console, hardware, totals
from planet_tf.control.environments import Spec
from planet_tf.control.planning import cross_entropy_method
from planet_tf.models import cell
from planet_tf.networks import basic, convolutions
from planet_tf.training.checkpoint import (
    Checkpoint,
    Position,
    restore_weights,
)
from planet_tf.training.learner import Learner

TINY = config.Config(
    conv_depth=4,
    model_size=32,
    state_size=8,
    num_layers=2,
    num_units=32,
    planner_amount=100,
    planner_topk=10,
    planner_iterations=3,
    planner_horizon=4,
    free_nats=0.0,  # Trains the prior from the first update on.
)
# The convolutions of the presets `default` and `cpu`; one of them so deep that
# its kernels' gradients are products.
CONVOLUTIONS = {
    "relu": {},
    "elu": {
        "conv_activation": "elu",
        "normalize_embed": True,
        "conv_depth": 32,
    },
}
SEED = tf.constant([0, 1])
BFLOAT16 = tf.bfloat16.as_datatype_enum

# What moves numbers, and what is between two convolutions.
MAY_BE_LOW = {
    *("Cast", "Const", "Identity", "IdentityN", "Reshape", "Transpose"),
    *("Fill", "Pad", "DepthToSpace", "Relu", "ReluGrad"),
    *("Elu", "EluGrad", "BiasAdd", "ZerosLike", "PreventGradient", "ShapeN"),
    *("StridedSlice", "Slice", "ConcatV2", "Pack", "SpaceToDepth"),
    *("MatMul", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"),
}
PRODUCTS = {"MatMul", "Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"}
OUTPUTS = re.compile(r"/(mean|std|out)(_\d+)?/")


def make(precision, **changes):
    tf.keras.utils.set_random_seed(1)
    changed = dataclasses.replace(TINY, precision=precision, **changes)
    return build.world_model(changed, 2)


def make_batch(length=3):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, [2, 1, 1, 1, 3]) + np.zeros([1, 1, 64, 64, 1])
    image = np.repeat(image, length, 1)
    action = rng.uniform(-1, 1, [2, length, 2])
    for b in range(2):
        for t in range(length):
            x = int(24 + 20 * action[b, t, 0])
            image[b, t, 24:40, x : x + 16] = 220
    return {
        "image": tf.constant(image, tf.uint8),
        "action": tf.constant(action, tf.float32),
        "reward": tf.constant(action[..., 0], tf.float32),
    }


def distance(a, b):
    """Relative Euclidean distance, and cosine of the angle."""
    a, b = (np.concatenate([np.ravel(x) for x in y]) for y in (a, b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a), np.linalg.norm(b)
    return np.linalg.norm(a - b) / norms[1], a @ b / norms[0] / norms[1]


@pytest.fixture(scope="module", params=CONVOLUTIONS)
def learner(request):
    """Traced once; nothing is run yet.

    One of them as if its rows were many.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "elu":
            patch.setattr(basic, "_FEW", 0)
        yield Learner(make("bfloat16", **CONVOLUTIONS[request.param]))


def test_products_alone_are_low(learner):
    """Of the whole update, gradient included; a sum in bfloat16 is wrong."""
    update = learner.update.get_concrete_function(make_batch(), SEED)
    assert {x.dtype for x in update.structured_outputs.values()} == {tf.float32}
    graph = update.graph.as_graph_def()
    functions = (function.node_def for function in graph.library.function)
    nodes = [*graph.node, *itertools.chain.from_iterable(functions)]
    low = [n for n in nodes if n.attr["T"].type == BFLOAT16]
    assert {node.op for node in low} <= MAY_BE_LOW
    # Only those of outputs are not.
    high = [
        OUTPUTS.search(node.name)
        for node in nodes
        if node.op in PRODUCTS and node.attr["T"].type != BFLOAT16
    ]
    assert all(high) and {x[1] for x in high} == {"mean", "std", "out"}
    assert {node.op for node in low} >= PRODUCTS


def test_updates_learn(learner):
    batch = make_batch()
    losses = [
        float(learner.update(batch, tf.constant([0, i]))["loss"])
        for i in range(40)
    ]
    floor = 11_292 + 9.2  # Of an image and ten times that of a reward.
    assert losses[-1] - floor < 0.8 * (losses[0] - floor), losses


@pytest.mark.parametrize(
    "model, convolutions",
    [("rssm", "relu"), ("ssm", "relu"), ("drnn", "relu"), ("rssm", "elu")],
)
def test_loss_and_gradients_are_close(model, convolutions):
    """A few percent, as bfloat16 has three digits.

    Those with less than a hundredth of the norm are sums that nearly cancel: on
    a processor with AVX512-BF16, 0.77 to 0.97 in encoder and hidden layers.
    """
    batch, found = make_batch(), []
    for precision in ("float32", "bfloat16"):
        world = make(precision, model=model, **CONVOLUTIONS[convolutions])
        assert {v.dtype for v in world.variables} == {"float32"}
        noise = world.draw_noise(SEED, 2, 3)
        with tf.GradientTape() as tape:
            loss, metrics = world.loss(batch, noise)
        _, *states = world.objectives(batch, noise)
        assert {x.dtype for x in tf.nest.flatten(states)} == {tf.float32}
        gradients = tape.gradient(loss, world.trainable_variables)
        found.append((metrics, gradients))
    (expected, gradients), (metrics, low) = found
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=0.02, atol=0.01)
    error, cosine = distance(low, gradients)
    norm = tf.linalg.global_norm(gradients)
    # Six seeds gave at most 0.043 and at least 0.999.
    assert 1e-5 < error < 0.06 and cosine > 0.998, (error, cosine)
    for variable, a, b in zip(
        world.trainable_variables, low, gradients, strict=True
    ):
        _, cosine = distance([a], [b])
        # They gave at least 0.93, of gradients that are large.
        least = 0.9 if tf.norm(b) > 0.01 * norm else 0.7
        assert cosine > least, (variable.path, cosine)


def test_biases_gradient_does_not_saturate():
    """TensorFlow's own stops growing: 256 + 1 is 256 in bfloat16."""
    x = tf.zeros([5, 100, 100, 2], tf.bfloat16)
    bias = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(tf.cast(convolutions.bias_add(x, bias), tf.float32))
    np.testing.assert_allclose(tape.gradient(y, bias), [5e4, 5e4], rtol=4e-3)


def test_plan_is_close():
    """The same search, whose elites may change places."""
    plans, returns = [], []
    for world in (make("bfloat16"), make("float32")):
        agent = build.agent(TINY, world, 2)
        noise = agent.draw_noise(SEED, 2)
        objective = agent.predicted_return(
            world.dynamics.initial(2), noise.latent
        )
        returns.append(objective(tf.clip_by_value(noise.plan[0], -1, 1), 0))
        plans.append(cross_entropy_method(objective, noise.plan, elites=10))
        assert {returns[-1].dtype, plans[-1].dtype} == {tf.float32}
    error, cosine = distance([returns[0]], [returns[1]])
    assert error < 0.02 and cosine > 0.999, (error, cosine)
    error, cosine = distance([plans[0]], [plans[1]])
    # Six seeds: at most 0.20, and at least 0.985.
    assert error < 0.3 and cosine > 0.97, (error, cosine)


def test_checkpoints_fit_either_precision(tmp_path):
    """They hold float32, so that a run may change its mind."""
    low, high = make("bfloat16"), make("float32")
    for a, b in ((low, high), (high, low)):
        for i, variable in enumerate(a.trainable_variables):
            variable.assign(tf.fill(variable.shape, i + 0.123456789))
        Checkpoint(tmp_path, a, Learner(a).optimizer).save(Position(7))
        assert Checkpoint(tmp_path, b, Learner(b).optimizer).restore() == (
            Position(7)
        )
        restored = [v.numpy() for v in b.trainable_variables]
        for variable in b.trainable_variables:
            variable.assign(tf.zeros(variable.shape))
        restore_weights(tmp_path / "ckpt-7", b)
        for variable, first, second in zip(
            a.trainable_variables, restored, b.trainable_variables, strict=True
        ):
            np.testing.assert_array_equal(first, variable.numpy())
            np.testing.assert_array_equal(second.numpy(), variable.numpy())


def test_change_is_said_and_older_runs_are_float32(tmp_path):
    config.save(TINY, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(
        text.replace("precision: float32\n", "")
    )
    old = config.load(tmp_path / "config.yaml")
    new = dataclasses.replace(TINY, precision="bfloat16")
    assert config.differences(old, new) == ["precision: float32 -> bfloat16"]


@pytest.mark.parametrize(
    ("precision", "has", "warns"),
    [
        ("bfloat16", False, True),
        ("bfloat16", True, False),
        ("float32", False, False),
    ],
)
def test_processors_without_it_are_warned_about(
    monkeypatch, precision, has, warns
):
    monkeypatch.setattr(hardware, "computes_bfloat16", lambda cpuinfo: has)
    # Has nothing to do with it, and takes a second.
    monkeypatch.setattr(console, "_cpu_hours", lambda *_: 0.0)
    tiny = dataclasses.replace(TINY, precision=precision)
    world = types.SimpleNamespace(spec=Spec(2, 10, {"image": (64, 64, 3)}))
    text = console.introduction(
        tiny,
        totals.schedule(tiny),
        make(precision),
        {"a": [world]},
        0,
        False,
        0,
    )
    lines = [line for line in text.splitlines() if "AVX512-BF16" in line]
    assert len(lines) == warns


def test_processors_that_have_it():
    flags = "flags\t\t: fpu avx512f {}\nbugs\t: amx_bf16\n".format
    assert hardware.computes_bfloat16(flags("avx512_bf16"))
    assert hardware.computes_bfloat16(flags("amx_bf16 amx_tile"))
    assert hardware.computes_bfloat16("Features\t: fp asimd bf16\n")
    assert not hardware.computes_bfloat16(flags("avx512_vnni"))
    assert not hardware.computes_bfloat16("")


def test_many_rows_are_as_few(monkeypatch):
    """What XLA compiles for many elements, and TensorFlow's for few."""
    tf.keras.utils.set_random_seed(1)
    gru = cell.GRU(16, 32, "bfloat16")
    dense = basic.Dense(16, 32, "bfloat16", "dense")
    dense.bias.assign(tf.random.normal([32]))
    x, state = tf.random.normal([9, 3, 16]), tf.random.normal([1, 3, 32])
    variables = [*gru.trainable_variables, *dense.trainable_variables]
    found = []
    for few, calls in ((2**16, 0), (0, 5)):
        monkeypatch.setattr(basic, "_FEW", few)

        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                # A state that rows share, then one that they do not.
                y = gru(x, gru(x, state))
                y = tf.concat([y, dense(x, activation=tf.nn.relu)], -1)
            return y, *tape.gradient(y, variables)

        operations = gradients.get_concrete_function().graph.get_operations()
        # Gates and state of the GRU, twice; dense; and their gradients.
        assert sum("Partitioned" in op.type for op in operations) == 2 * calls
        found.append(gradients())
    for few, many in zip(*found, strict=True):
        scale = np.abs(few).max()
        np.testing.assert_allclose(many, few, rtol=0, atol=5e-3 * scale)
