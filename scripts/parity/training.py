"""Losses, their gradients, and the optimizer."""

from typing import Any

import numpy as np
import tensorflow as tf

from planet_tf.models import cell
from planet_tf.models.overshooting import overshoot
from planet_tf.models.world_model import Noise, WorldModel
from planet_tf.tools.golden import original_variables
from planet_tf.training.learner import Learner
from scripts.parity.model import (
    build,
    check_divergence,
    check_state,
    inputs,
    pick,
)
from scripts.parity.report import (
    EXACT,
    GRADIENT,
    SWITCHED,
    UNROLL,
    Parity,
)

_FREE_NATS = 3.0  # Of all losses in the folder but `nofree`.


def losses(p: Parity) -> None:
    """Loss terms and gradients of the RSSM in several settings."""
    p.get("losses:var_shapes")
    _check_losses(p, "losses:mean", build(p), "mean")
    _check_losses(p, "losses:eps", build(p), "eps")
    _check_losses(p, "losses:nofree", build(p, free_nats=0.0), "eps")
    _check_losses(p, "losses:scales", build(p, **p.settings["scales"]), "eps")


def model_losses(p: Parity) -> None:
    """Loss terms and gradients of SSM and DRNN."""
    for file in ("ssm", "drnn"):
        prefix = f"model_losses:{file}"
        _check_losses(p, prefix, build(p, file), "eps", f"{prefix}_")


def overshooting(p: Parity) -> None:
    """Multi-step priors, their loss and its gradients."""
    mask = p.get("overshooting:mask")
    B, T, steps = mask.shape
    eps = p.get("inputs:eps_overshooting").reshape([B, T, steps, -1])
    for mode in ("mean", "eps"):
        _check_priors(p, mode, mask, eps)
        batch, noise = inputs(p, mode)
        if mode == "eps":
            # The last step is not in the original's loss, nor computed here.
            noise = noise._replace(
                overshooting=tf.constant(eps[:, :, : steps - 1])
            )
        for tag in ("stop", "grad"):
            model = build(
                p,
                overshooting_scale=p.settings["overshooting_scale"],
                overshooting_distance=steps - 1,
                overshooting_stop=tag == "stop",
            )
            result = _gradients(p, model, batch, noise, "overshooting:")
            _check_overshooting(p, f"{mode}_{tag}", mask, *result)
            if mode == "eps":
                _check_masked(p, f"masked_{tag}", *result)


def optimizer(p: Parity) -> None:
    """A few updates, with and without clipping."""
    names = p.get("optimizer:var_names").tolist()
    index = p.get("optimizer:sample_index")
    batch, noise = inputs(p, "eps")
    for tag, clip in p.settings["clips"].items():
        prefix = f"optimizer:{tag}"
        model = build(p)
        learner = Learner(model, clip=clip)
        # Compiled as in training; once, because that takes seconds.
        step = tf.function(learner.step) if tag == "default" else learner.step
        variables = original_variables(model)
        before = [variables[name].numpy() for name in names]
        p.check("optimizer:weights_0", pick(before, index), EXACT)
        loss, norm = [], []
        updates = len(p.get(f"{prefix}_grad_global_norm"))
        for i in range(1, updates + 1):
            metrics = step(batch, noise)
            loss.append(metrics["loss"])
            norm.append(metrics["grad_norm"])
            after = [variables[name].numpy() for name in names]
            p.check(f"{prefix}_weights_{i}", pick(after, index), UNROLL)
            change = [
                np.linalg.norm(new - old)
                for new, old in zip(after, before, strict=True)
            ]
            p.check(f"{prefix}_change_norm_{i}", change, GRADIENT, rows=True)
        loss.append(model.loss(batch, noise)[0])
        p.check(f"{prefix}_loss", loss, UNROLL)
        p.check(f"{prefix}_grad_global_norm", norm, GRADIENT)


def _check_losses(
    p: Parity,
    prefix: str,
    model: WorldModel,
    mode: str,
    variables: str = "losses:",
) -> None:
    """Terms, total and gradients of one setting."""
    result = _gradients(p, model, *inputs(p, mode), variables)
    loss, terms, gradients = result
    for name in ("image", "reward"):
        p.check(f"{prefix}_{name}_per_step", terms[name], UNROLL)
        p.check(f"{prefix}_{name}", tf.reduce_mean(terms[name]), UNROLL)
    divergence = terms["divergence"]
    check_divergence(p, f"{prefix}_divergence_raw", terms["kl"], UNROLL)
    _check_clipped(p, f"{prefix}_divergence_per_step", divergence)
    _check_clipped(p, f"{prefix}_divergence", tf.reduce_mean(divergence))
    p.check(f"{prefix}_total", loss, UNROLL)
    norm = tf.linalg.global_norm(gradients)
    p.check(f"{prefix}_grad_global_norm", norm, GRADIENT)
    _check_gradients(p, prefix, gradients, variables)


def _check_priors(
    p: Parity, mode: str, mask: np.ndarray, eps: np.ndarray
) -> None:
    """Predictions, targets and their divergence."""
    model = build(p)
    batch, noise = inputs(p, mode)
    embed = model.encoder(p.get("inputs:observation"))
    _, post = model.dynamics.observe(
        embed, batch["action"], (noise.prior, noise.post)
    )
    prior, target, ours = overshoot(
        model.dynamics,
        batch["action"],
        post,
        None if mode == "mean" else tf.constant(eps),
        mask.shape[-1],
        post,
    )
    p.check("overshooting:mask", ours, EXACT)
    divergence = cell.kl_divergence(target, prior)[:, :, 1:-1]
    p.check(f"overshooting:{mode}_divergence_raw", divergence, UNROLL)
    # The original has zeros where there is nothing to predict.
    prior, target = tf.nest.map_structure(
        lambda x: x * mask[..., None], (prior, target)
    )
    check_state(p, f"overshooting:{mode}_prior", prior)
    p.check(f"overshooting:{mode}_posterior_mean", target.mean, UNROLL)


def _check_overshooting(
    p: Parity,
    name: str,
    mask: np.ndarray,
    loss: tf.Tensor,
    terms: dict[str, tf.Tensor],
    gradients: list[tf.Tensor],
) -> None:
    """Against the released code, whose loss is not a number."""
    prefix = f"overshooting:{name}"
    clipped = terms["overshooting"]
    mode, _ = name.split("_")
    _check_clipped(p, f"overshooting:{mode}_divergence_clipped", clipped)
    mean = tf.reduce_mean(clipped)
    _check_clipped(p, f"{prefix}_overshooting_nan_as_zero", mean)
    mean = tf.reduce_sum(clipped) / mask[:, :, 1:-1].sum()
    _check_clipped(p, f"{prefix}_overshooting_valid_only", mean)
    for array in (f"{prefix}_overshooting", f"{prefix}_total"):
        p.skip(array, "NaN, as the original does not mask; see masked_*")
    _check_gradients(p, prefix, gradients, "overshooting:")


def _check_masked(
    p: Parity,
    name: str,
    loss: tf.Tensor,
    terms: dict[str, tf.Tensor],
    gradients: list[tf.Tensor],
) -> None:
    """Against the original's functions, given the mask."""
    prefix = f"overshooting:{name}"
    clipped = terms["overshooting"]
    _check_clipped(p, f"{prefix}_divergence_clipped", clipped)
    _check_clipped(p, f"{prefix}_overshooting", tf.reduce_mean(clipped))
    p.check(f"{prefix}_total", loss, UNROLL)
    norm = tf.linalg.global_norm(gradients)
    p.check(f"{prefix}_grad_global_norm", norm, GRADIENT)
    _check_gradients(p, prefix, gradients, "overshooting:")


def _check_clipped(p: Parity, array: str, divergence: tf.Tensor) -> None:
    """Compares what is left of divergences after free nats, often little."""
    p.check(array, divergence, UNROLL, least=_FREE_NATS)


def _gradients(
    p: Parity, model: WorldModel, batch: dict, noise: Noise, prefix: str
) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor]]:
    """The loss, its terms by step, and gradients in the order of var_names."""
    named = original_variables(model)
    variables = [named[name] for name in p.get(f"{prefix}var_names").tolist()]
    terms, _, _ = model.objectives(batch, noise)
    with tf.GradientTape() as tape:
        loss, _ = model.loss(batch, noise)
    return loss, terms, tape.gradient(loss, variables)


def _check_gradients(
    p: Parity, prefix: str, gradients: list[tf.Tensor], variables: str
) -> None:
    index: Any = p.get(f"{variables}sample_index")
    values = [gradient.numpy() for gradient in gradients]
    norms = [np.linalg.norm(x) for x in values]
    p.check(f"{prefix}_grad_norm", norms, GRADIENT, rows=True)
    p.check(
        f"{prefix}_grad_sample",
        pick(values, index),
        SWITCHED,
        rows=True,
        average=True,
        note="on average: rectifiers switch by rounding",
    )
