"""Networks, cells and initial values."""

import functools
import json
from typing import Any

import numpy as np
import tensorflow as tf

from planet_tf.models import cell
from planet_tf.models.drnn import DRNN
from planet_tf.models.rssm import RSSM
from planet_tf.models.ssm import SSM
from planet_tf.models.world_model import Noise, WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder
from planet_tf.tools.golden import formula_weight, original_variables
from scripts.parity.report import EXACT, GRADIENT, LAYER, UNROLL, Parity

CELLS = {"rssm": RSSM, "ssm": SSM, "drnn": DRNN}

# The biases that have the sizes of the stochastic state and of hidden layers.
_SIZES = {
    "rssm": ("transition/dense_2/bias", "transition/gru_cell/b_c"),
    "ssm": ("transition/dense_1/bias", "transition/dense/bias"),
    "drnn": ("posterior/dense_1/bias", "posterior/gru_cell/b_c"),
}

# The original's names for the parts of a state, and ours.
STATE = {
    "mean": "mean",
    "stddev": "std",
    "sample": "stoch",
    "belief": "deter",
    "rnn_state": "deter",
    "encoder_state": "encoder",
    "decoder_state": "decoder",
}


def networks(p: Parity) -> None:
    """Weight formula, encoder, decoder, reward head."""
    model = build(p)
    names = p.get("networks:var_names").tolist()
    variables = original_variables(model)
    weights = [variables[name].numpy() for name in names]
    p.check("networks:var_shapes", _shapes(weights), EXACT)
    index = [(7919 * np.arange(8) + 13) % x.size for x in weights]
    p.check("networks:var_sample", pick(weights, index), EXACT)
    norms = [np.linalg.norm(x.astype("f8")) for x in weights]
    p.check("networks:var_norm", norms, LAYER, rows=True)

    target = tf.constant(p.get("inputs:observation"))
    p.check("networks:encoder_embedding", model.encoder(target), LAYER)
    features = tf.constant(p.get("networks:features"))
    mean = model.image(features)
    p.check("networks:decoder_mean", mean, LAYER)
    log_prob = model.image.log_prob(mean, target)
    p.check("networks:decoder_log_prob", log_prob, LAYER)
    mean = model.reward(features)
    p.check("networks:reward_mean", mean, LAYER)
    log_prob = model.reward.log_prob(mean, p.get("inputs:reward"))
    p.check("networks:reward_log_prob", log_prob, LAYER)


def gru(p: Parity) -> None:
    """One step of the GRU, its gradients and initial biases."""
    x, h = tf.constant(p.get("gru:x")), tf.constant(p.get("gru:h"))
    layer = cell.GRU(x.shape[-1], h.shape[-1])
    p.check("gru:init_b_ru", layer.b_ru, EXACT)
    p.check("gru:init_b_c", layer.b_c, EXACT)
    inputs = {"x": x, "h": h}
    for name in ("w_ru", "b_ru", "w_c", "b_c"):
        inputs[name] = getattr(layer, name)
        shape = inputs[name].shape
        p.check(f"gru:{name}", formula_weight(f"gru_cell/{name}", shape), EXACT)
        inputs[name].assign(p.get(f"gru:{name}"))
    with tf.GradientTape() as tape:
        tape.watch([x, h])
        h_next = layer(x, h)
    p.check("gru:h_next", h_next, LAYER)
    gradients = tape.gradient(h_next, inputs, p.get("gru:dh_next"))
    for name, gradient in gradients.items():
        p.check(f"gru:grad_{name}", gradient, GRADIENT)


def dynamics(p: Parity, file: str) -> None:
    """Closed loop, open loop and planning rollout of one kind of cell."""
    model = build(p, file)
    cell_, context = model.dynamics, p.settings["context"]
    embed = model.encoder(p.get("inputs:observation"))
    for mode in ("mean", "eps"):
        batch, noise = inputs(p, mode)
        action, plan = batch["action"], tf.constant(p.get("inputs:plan_action"))
        prior, post = cell_.observe(embed, action, (noise.prior, noise.post))
        check_state(p, f"{file}:{mode}_prior", prior)
        check_state(p, f"{file}:{mode}_posterior", post)
        p.check(f"{file}:{mode}_features", cell_.features(post), UNROLL)

        known = tf.nest.map_structure(lambda x: x[:, :context], post)
        eps = None if noise.prior is None else noise.prior[:, context:]
        later = cell_.imagine(action[:, context:], eps, _at(known, -1))
        joined = tf.nest.map_structure(lambda *x: tf.concat(x, 1), known, later)
        check_state(p, f"{file}:{mode}_open", joined)

        eps = None if mode == "mean" else tf.constant(p.get("inputs:eps_open"))
        states = cell_.imagine(plan, eps, _at(post, -1))
        check_state(p, f"{file}:{mode}_plan", states)
        reward = model.reward(cell_.features(states))
        p.check(f"{file}:{mode}_plan_reward", reward, UNROLL)

        # From the stored states: the formula alone.
        post, prior = (
            post._replace(
                mean=p.get(f"{file}:{mode}_{name}_mean"),
                std=p.get(f"{file}:{mode}_{name}_stddev"),
            )
            for name in ("posterior", "prior")
        )
        divergence = cell.kl_divergence(post, prior)
        check_divergence(p, f"{file}:{mode}_divergence", divergence, LAYER)


def init(p: Parity) -> None:
    """Minimum, maximum, mean and deviation of new variables."""
    for file in CELLS:
        names = p.get(f"init:{file}_var_names").tolist()
        variables = original_variables(_new(p, file))
        values = [variables[name].numpy() for name in names]
        p.check(f"init:{file}_var_shapes", _shapes(values), EXACT)
        array = f"init:{file}_min_max_mean_std"
        theirs = p.get(array)
        ours = np.array([[x.min(), x.max(), x.mean(), x.std()] for x in values])
        # Both are random: equal is what differs by chance alone.
        count = np.array([[x.size] for x in values])
        chance = 6 * theirs[:, 3:] * np.sqrt(2 / count)
        ours = np.where(np.abs(ours - theirs) <= chance, theirs, ours)
        p.check(array, ours, EXACT, note="within 6 standard errors")


def build(p: Parity, file: str = "rssm", **options: Any) -> WorldModel:
    """One of our models with the original's weights.

    Args:
        p: The folder, which has the names of the weights.
        file: Kind of cell.
        options: Of `WorldModel`.
    """
    model = _new(p, file, **options)
    variables = original_variables(model)
    names = p.get(f"{file}:var_names").tolist()
    if {*names} != {*variables}:
        raise ValueError(
            f"{file}:var_names and our variables differ in "
            f"{sorted({*names} ^ {*variables})}"
        )
    for name, shape in zip(names, p.get(f"{file}:var_shapes"), strict=True):
        variables[name].assign(_weight(name, tuple(json.loads(shape))))
    return model


def inputs(p: Parity, mode: str) -> tuple[dict[str, tf.Tensor], Noise]:
    """The batch, with stored noise (`eps`) or none (`mean`)."""
    batch = {
        "image": tf.constant(p.get("inputs:image_uint8")),
        "action": tf.constant(p.get("inputs:action")),
        "reward": tf.constant(p.get("inputs:reward")),
    }
    if mode == "mean":
        return batch, Noise(None, None, None)
    prior = tf.constant(p.get("inputs:eps_prior"))
    post = tf.constant(p.get("inputs:eps_posterior"))
    return batch, Noise(None, prior, post)


def check_state(p: Parity, prefix: str, state: Any) -> None:
    """Compares every part of a state that the folder has."""
    file, name = prefix.split(":")
    for theirs, ours in STATE.items():
        if f"{name}_{theirs}" in p.names(file):
            p.check(f"{prefix}_{theirs}", getattr(state, ours), UNROLL)


def check_divergence(
    p: Parity, array: str, divergence: tf.Tensor, tolerance: float
) -> None:
    """Compares KL divergences, DRNN's with a wider tolerance."""
    note = ""
    if "drnn" in array:
        # Its prior and posterior are nearly equal at these weights.
        tolerance = GRADIENT
        note = "0.03 nats out of terms of 30: rounding alone gives 1e-4"
    p.check(array, divergence, tolerance, note=note)


def pick(arrays: list[np.ndarray], index: Any) -> np.ndarray:
    """Entries of each array at flat positions."""
    pairs = zip(arrays, index, strict=True)
    return np.stack([x.ravel()[i] for x, i in pairs])


def _new(p: Parity, file: str, **options: Any) -> WorldModel:
    """A new model of the folder's sizes."""
    names = p.get(f"{file}:var_names").tolist()
    # By name, without the part that is in all names of a kind of cell.
    size = {
        name.removeprefix(f"{file}/"): json.loads(shape)[-1]
        for name, shape in zip(names, p.get(f"{file}:var_shapes"), strict=True)
    }
    stoch, deter = (size[name] for name in _SIZES[file])
    layers = sum(name.startswith("head_reward/") for name in names) // 2 - 1
    depth = size["encoder/conv2d/bias"]
    encoder = Encoder(depth)
    action_dim = p.get("inputs:action").shape[-1]
    cell_ = CELLS[file](action_dim, encoder.embed_size, stoch, deter)
    reward = VectorHead(
        cell_.feature_size, (), layers, size["head_reward/dense/bias"]
    )
    image = Decoder(cell_.feature_size, depth)
    return WorldModel(cell_, encoder, image, reward, **options)


def _at(states: Any, time: int) -> Any:
    return tf.nest.map_structure(lambda x: x[:, time], states)


def _shapes(arrays: list[np.ndarray]) -> list[str]:
    return [json.dumps(list(x.shape)) for x in arrays]


_weight = functools.cache(formula_weight)
