"""Compares this code with what the original computes, number for number.

    python -m scripts.check_parity tests/golden

The folder holds arrays that were made by executing the original code with
weights that are a formula of their names (`planet_tf/tools/golden.py`) and with
stored noise: one npz file for each function in `SECTIONS` below. They give the
same inputs and noise to the code that trains and acts. Every array is an input,
is compared, or is listed with the reason why not.

Differences are relative to the largest magnitude in an array, or in each of its
rows where those belong to different variables. The exit status is 0 only when
all are within their tolerance.
"""

import functools
import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from planet_tf.control.mpc_agent import MPCAgent, PolicyNoise
from planet_tf.control.planning import cross_entropy_method
from planet_tf.models import cell
from planet_tf.models.drnn import DRNN
from planet_tf.models.overshooting import overshoot
from planet_tf.models.rssm import RSSM
from planet_tf.models.ssm import SSM
from planet_tf.models.world_model import Noise, WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder
from planet_tf.tools.golden import formula_weight, original_variables
from planet_tf.tools.preprocess import postprocess, preprocess
from planet_tf.tools.replay import Replay
from planet_tf.training.learner import Learner
from planet_tf.training.schedule import Schedule, noise_scale

# Tolerances for float32.
EXACT = 0.0
LAYER = 1e-5  # one layer or formula
UNROLL = 1e-4  # through time or iterations
GRADIENT = 1e-3

CELLS = {"rssm": RSSM, "ssm": SSM, "drnn": DRNN}

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

# Settings that the arrays were made with and do not contain.
ELITES = 8
EXPLORATION = 0.3
CONTEXT = 2
OVERSHOOTING_SCALE = 0.7


class Check(NamedTuple):
    """One compared array."""

    array: str  # file:name
    shape: tuple[int, ...]
    absolute: float  # largest difference
    relative: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """False also where the difference is not a number."""
        return self.relative <= self.tolerance


class Parity:
    """A folder of golden arrays, and what was found about them.

    Args:
        directory: In the layout of `tests/golden`.
    """

    def __init__(self, directory: str | pathlib.Path):
        self._directory = pathlib.Path(directory)
        self._files: dict[str, dict[str, np.ndarray]] = {}
        self._inputs: set[str] = set()
        self.checks: list[Check] = []
        self.skipped: dict[str, str] = {}

    def names(self, file: str) -> list[str]:
        """Names of the arrays in a file.

        Raises:
            OSError: The file is missing or unreadable.
        """
        if file not in self._files:
            with np.load(self._directory / f"{file}.npz") as arrays:
                self._files[file] = dict(arrays)
        return list(self._files[file])

    def get(self, array: str) -> np.ndarray:
        """An array, `file:name`, as an input.

        Raises:
            KeyError: The folder does not have it.
        """
        self._inputs.add(array)
        return self._read(array)

    def check(
        self, array: str, ours: Any, tolerance: float, rows: bool = False
    ) -> None:
        """Compares our numbers with an array.

        Where the original has no number, ours is not compared, but must be
        finite.

        Args:
            array: As `file:name`.
            ours: Tensor or array of the same shape.
            tolerance: Largest relative difference that passes.
            rows: Relative to each row's magnitude, not to the array's.
        """
        theirs = self._read(array)
        ours = np.asarray(ours)
        if ours.shape != theirs.shape:
            raise ValueError(
                f"{array} has shape {theirs.shape}, but ours {ours.shape}"
            )
        if theirs.dtype.kind == "U":
            ours, theirs = ours == theirs, np.ones_like(theirs, bool)
        ours, theirs = ours.astype("f8"), theirs.astype("f8")
        difference, scale = np.abs(ours - theirs), np.abs(theirs)
        unknown = np.isnan(scale) & np.isfinite(ours)
        difference = np.where(unknown, 0.0, difference)
        scale = np.where(unknown, 0.0, scale)
        axes = tuple(range(1, theirs.ndim)) if rows else None
        difference, scale = difference.max(axes), scale.max(axes)
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(difference == 0, 0.0, difference / scale)
        count = np.count_nonzero(unknown)
        self.checks.append(
            Check(
                array,
                theirs.shape,
                float(np.max(difference)),
                float(np.max(relative)),
                tolerance,
                f"{count} are NaN in the original" if count else "",
            )
        )

    def skip(self, array: str, reason: str) -> None:
        """Says why an array is not compared."""
        self._read(array)
        self.skipped[array] = reason

    def unread(self, file: str) -> list[str]:
        """Arrays of a file that none of the above was called for."""
        seen = {c.array for c in self.checks} | self._inputs | {*self.skipped}
        arrays = [f"{file}:{name}" for name in self.names(file)]
        return [array for array in arrays if array not in seen]

    def _read(self, array: str) -> np.ndarray:
        file, name = array.split(":")
        if name not in self.names(file):
            raise KeyError(f"{self._directory} has no {array}")
        return self._files[file][name]


def networks(p: Parity) -> None:
    """Weight formula, encoder, decoder, reward head."""
    model = _model(p)
    names = p.get("networks:var_names").tolist()
    variables = original_variables(model)
    weights = [variables[name].numpy() for name in names]
    shapes = [json.dumps(list(x.shape)) for x in weights]
    p.check("networks:var_shapes", shapes, EXACT)
    index = [(7919 * np.arange(8) + 13) % x.size for x in weights]
    p.check("networks:var_sample", _pick(weights, index), EXACT)
    norms = [np.linalg.norm(x.astype("f8")) for x in weights]
    p.check("networks:var_norm", norms, LAYER, rows=True)

    target = tf.constant(p.get("inputs:observation"))
    p.check("networks:encoder_embedding", model.encoder(target), LAYER)
    features = tf.constant(p.get("networks:features"))
    image = model.image(features)
    p.check("networks:decoder_mean", image, LAYER)
    log_prob = model.image.dist(image).log_prob(target)
    p.check("networks:decoder_log_prob", log_prob, LAYER)
    reward = model.reward(features)
    p.check("networks:reward_mean", reward, LAYER)
    log_prob = model.reward.dist(reward).log_prob(p.get("inputs:reward"))
    p.check("networks:reward_log_prob", log_prob, LAYER)


def gru(p: Parity) -> None:
    """One step of the GRU, its gradients and initial biases."""
    x, h = tf.constant(p.get("gru:x")), tf.constant(p.get("gru:h"))
    layer = cell.GRU(x.shape[-1], h.shape[-1])
    weights = {
        name: getattr(layer, name) for name in ("w_ru", "b_ru", "w_c", "b_c")
    }
    for name, variable in weights.items():
        if name.startswith("b_"):
            p.check(f"gru:init_{name}", variable, EXACT)
        variable.assign(formula_weight(f"gru_cell/{name}", variable.shape))
        p.check(f"gru:{name}", variable, EXACT)
    inputs = {"x": x, "h": h, **weights}
    with tf.GradientTape() as tape:
        tape.watch([x, h])
        h_next = layer(x, h)
    p.check("gru:h_next", h_next, LAYER)
    gradients = tape.gradient(h_next, inputs, p.get("gru:dh_next"))
    for name, gradient in gradients.items():
        p.check(f"gru:grad_{name}", gradient, GRADIENT)


def dynamics(p: Parity, file: str) -> None:
    """Closed loop, open loop and planning rollout of one kind of cell."""
    model = _model(p, file)
    for mode in ("mean", "eps"):
        batch, noise = _batch(p, mode)
        observe = tf.function(model.dynamics.observe)
        imagine = tf.function(model.dynamics.imagine)
        embed, action = model.encoder(p.get("inputs:observation")), batch["action"]
        prior, post = observe(embed, action, (noise.prior, noise.post))
        _check_state(p, f"{file}:{mode}_prior", prior)
        _check_state(p, f"{file}:{mode}_posterior", post)
        divergence = cell.kl_divergence(post, prior)
        p.check(f"{file}:{mode}_divergence", divergence, UNROLL)
        features = model.dynamics.features(post)
        p.check(f"{file}:{mode}_features", features, UNROLL)

        def start(states: Any, time: int) -> Any:
            return tf.nest.map_structure(lambda x: x[:, time], states)

        known = tf.nest.map_structure(lambda x: x[:, :CONTEXT], post)
        predicted = imagine(
            action[:, CONTEXT:],
            None if mode == "mean" else noise.prior[:, CONTEXT:],
            start(post, CONTEXT - 1),
        )
        joined = tf.nest.map_structure(
            lambda *x: tf.concat(x, 1), known, predicted
        )
        _check_state(p, f"{file}:{mode}_open", joined)

        eps = tf.constant(p.get("inputs:eps_open"))
        plan = imagine(
            tf.constant(p.get("inputs:plan_action")),
            None if mode == "mean" else eps,
            start(post, -1),
        )
        _check_state(p, f"{file}:{mode}_plan", plan)
        reward = model.reward(model.dynamics.features(plan))
        p.check(f"{file}:{mode}_plan_reward", reward, UNROLL)


def losses(p: Parity) -> None:
    """Loss terms and gradients of the RSSM under several settings."""
    scales = {
        "divergence_scale": 0.3, "reward_scale": 2.5, "image_scale": 0.1
    }
    p.get("losses:var_shapes")
    _check_losses(p, "losses:mean", "mean", _model(p))
    _check_losses(p, "losses:eps", "eps", _model(p))
    _check_losses(p, "losses:nofree", "eps", _model(p, free_nats=0.0))
    _check_losses(p, "losses:scales", "eps", _model(p, **scales))


def model_losses(p: Parity) -> None:
    """Loss terms and gradients of SSM and DRNN."""
    for file in ("ssm", "drnn"):
        prefix = f"model_losses:{file}"
        _check_losses(p, prefix, "eps", _model(p, file), f"{prefix}_")


def overshooting(p: Parity) -> None:
    """Multi-step priors, their loss and gradients."""
    mask = p.get("overshooting:mask")
    B, T, steps = mask.shape
    eps = p.get("inputs:eps_overshooting").reshape([B, T, steps, -1])
    for mode in ("mean", "eps"):
        model = _model(p)
        batch, noise = _batch(p, mode)
        embed = model.encoder(p.get("inputs:observation"))
        _, post = model.dynamics.observe(
            embed, batch["action"], (noise.prior, noise.post)
        )
        prior, target, ours = overshoot(
            model.dynamics,
            batch["action"],
            post,
            None if mode == "mean" else tf.constant(eps),
            steps,
        )
        if mode == "mean":
            p.check("overshooting:mask", ours, EXACT)
        prior, target = tf.nest.map_structure(
            lambda x: x * mask[..., None], (prior, target)
        )
        parts = ("mean", "stddev", "sample", "belief")
        prefix = f"overshooting:{mode}"
        _check_state(p, f"{prefix}_prior", prior, parts)
        _check_state(p, f"{prefix}_posterior", target, ("mean",))
        divergence = cell.kl_divergence(target, prior)[:, :, 1:-1]
        divergence = np.where(mask[:, :, 1:-1], divergence, 0.0)
        p.check(f"{prefix}_divergence_raw", divergence, UNROLL)

        batch, noise = _batch(p, mode)
        if mode == "eps":
            # The last of the original's steps is left out of its loss, and
            # not computed here.
            noise = noise._replace(
                overshooting=tf.constant(eps[:, :, : steps - 1])
            )
        for tag in ("stop", "grad"):
            model = _model(
                p,
                overshooting_scale=OVERSHOOTING_SCALE,
                overshooting_distance=steps - 1,
                overshooting_stop=tag == "stop",
            )
            loss, terms, gradients = _gradients(
                p, model, batch, noise, "overshooting:"
            )
            name = f"{prefix}_{tag}"
            mean = tf.reduce_mean(terms["overshooting"])
            p.check(f"{name}_overshooting_nan_as_zero", mean, UNROLL)
            valid = np.sum(terms["overshooting"]) / mask[:, :, 1:-1].sum()
            p.check(f"{name}_overshooting_valid_only", valid, UNROLL)
            for array in (f"{name}_overshooting", f"{name}_total"):
                p.skip(array, "NaN: the original does not mask (see masked_*)")
            _check_gradients(p, name, gradients, "overshooting:")
            clipped = terms["overshooting"]
            p.check(f"{prefix}_divergence_clipped", clipped, UNROLL)
            if mode == "eps":
                name = f"overshooting:masked_{tag}"
                p.check(f"{name}_divergence_clipped", clipped, UNROLL)
                p.check(f"{name}_overshooting", mean, UNROLL)
                p.check(f"{name}_total", loss, UNROLL)
                _check_gradients(p, name, gradients, "overshooting:")
                norm = tf.linalg.global_norm(gradients)
                p.check(f"{name}_grad_global_norm", norm, GRADIENT)


def optimizer(p: Parity) -> None:
    """Three updates, without and with clipping."""
    names = p.get("optimizer:var_names").tolist()
    index = p.get("optimizer:sample_index")
    batch, noise = _batch(p, "eps")
    clips = {"default": 1000.0, "noclip": 1e9, "clip": 5.0}
    for tag, clip in clips.items():
        model = _model(p)
        learner = Learner(model, clip=clip)
        step = tf.function(learner.step)
        variables = original_variables(model)
        before = [variables[name].numpy() for name in names]
        if tag == "default":
            p.check("optimizer:weights_0", _pick(before, index), EXACT)
        loss, norm = [], []
        for i in (1, 2, 3):
            metrics = step(batch, noise)
            loss.append(metrics["loss"])
            norm.append(metrics["grad_norm"])
            after = [variables[name].numpy() for name in names]
            prefix = f"optimizer:{tag}"
            weights = _pick(after, index)
            p.check(f"{prefix}_weights_{i}", weights, UNROLL, rows=True)
            change = [
                np.linalg.norm(new - old)
                for new, old in zip(after, before, strict=True)
            ]
            p.check(f"{prefix}_change_norm_{i}", change, GRADIENT, rows=True)
        loss.append(model.loss(batch, noise)[0])
        p.check(f"{prefix}_loss", loss, UNROLL)
        p.check(f"{prefix}_grad_global_norm", norm, GRADIENT)


def cem(p: Parity) -> None:
    """The planner, iteration by iteration."""
    noise = tf.constant(p.get("cem:noise"))[:, None]
    eps = tf.constant(p.get("cem:eps").astype("f4"))[:, None]
    model = _model(p)
    I, _, N, H, A = noise.shape
    agent = MPCAgent(
        model, A, horizon=H, candidates=N, elites=ELITES, iterations=I
    )
    for mode in ("mean", "eps"):
        parts = {
            name: tf.constant(p.get(f"cem:{mode}_state_{name}"))
            for name in ("mean", "stddev", "sample", "belief", "rnn_state")
        }
        state = model.dynamics.initial(1)._replace(
            **{STATE[name]: value for name, value in parts.items()}
        )
        # One iteration more than the plan takes shows its final belief.
        objective = agent.predicted_return(
            state, None if mode == "mean" else tf.concat([eps, eps[-1:]], 0)
        )
        actions, returns = [], []

        def record(candidates, i, objective=objective, a=actions, r=returns):
            a.append(candidates[0].numpy())
            r.append(objective(candidates, i)[0].numpy())
            return tf.constant(r[-1][None])

        longer = tf.concat([noise, noise[-1:]], 0)
        cross_entropy_method(record, longer, elites=ELITES)
        p.check(f"cem:{mode}_returns", returns[:I], UNROLL)
        ordered = -np.sort(-np.array(returns[:I]))
        gap = ordered[:, ELITES - 1] - ordered[:, ELITES]
        # Gaps are differences of returns: their rounding is as large.
        scale = np.abs(p.get(f"cem:{mode}_returns")).max() / gap.max()
        p.check(f"cem:{mode}_elite_gap", gap, UNROLL * scale)

        means = [
            cross_entropy_method(objective, noise[: i + 1], elites=ELITES)
            for i in range(I)
        ]
        p.check(f"cem:{mode}_mean", means, UNROLL)
        p.check(f"cem:{mode}_plan", means[-1], UNROLL)
        # (action - mean) / noise, from the candidate whose action was clipped
        # least likely and divides by the most.
        stds = []
        for i in range(I):
            draws = longer[i + 1, 0].numpy()
            free = np.abs(actions[i + 1]) < 1.0
            best = np.argmax(np.abs(draws) * free, 0)[None]
            shift = actions[i + 1] - means[i].numpy()
            stds.append(
                np.take_along_axis(shift, best, 0)
                / np.take_along_axis(draws, best, 0)
            )
        p.check(f"cem:{mode}_stddev", stds, UNROLL)


def agent(p: Parity) -> None:
    """Two decisions of the acting agent, and one after a reset."""
    images = tf.constant(p.get("agent:observation"))
    plan = tf.constant(p.get("agent:cem_noise"))[:, :, None]
    latent = tf.constant(p.get("agent:cem_eps").astype("f4"))[:, :, None]
    post = tf.constant(p.get("agent:step_eps"))[:, 1]
    explore = tf.constant(p.get("agent:exploration_eps"))
    model = _model(p)
    I, B, N, H, A = plan.shape[1:]
    policy = MPCAgent(
        model, A, horizon=H, candidates=N, elites=ELITES, iterations=I
    )
    decide = tf.function(policy.decide)

    def call(i: int, state: Any, action: tf.Tensor) -> tuple:
        noise = PolicyNoise(None, post[i], plan[i], latent[i], explore[i])
        return decide(
            images[i], state, action, tf.constant(EXPLORATION), noise
        )

    start = model.dynamics.initial(B), tf.zeros([B, A])
    first, state = call(0, *start)
    second, later = call(1, state, first)
    actions = tf.stack([first, second])
    p.check("agent:action", actions, UNROLL)
    p.check("agent:prev_action", actions, UNROLL)
    states = tf.nest.map_structure(lambda *x: tf.stack(x), state, later)
    _check_state(p, "agent:state", states)
    p.check("agent:action_after_reset", call(0, *start)[0], UNROLL)


def data(p: Parity) -> None:
    """Pixels, chunks and schedules."""
    image, unit = (tf.constant(p.get(f"data:{x}")) for x in ("image", "unit"))
    for bits in (3, 5, 8):
        p.check(f"data:pre_clean_{bits}", preprocess(image, bits), EXACT)
        noisy = preprocess(image, bits, unit)
        p.check(f"data:pre_noisy_{bits}", noisy, LAYER)
        p.check(f"data:post_float_{bits}", postprocess(noisy, bits), EXACT)
        p.check(f"data:post_uint8_{bits}", _uint8(noisy, bits), EXACT)
    wide = tf.constant(p.get("data:wide"))
    p.check("data:post_float_wide_5", postprocess(wide, 5), EXACT)
    p.check("data:post_uint8_wide_5", _uint8(wide, 5), EXACT)

    cases = p.get("data:chunk_cases").copy()
    for i, (length, chunk, number, _, offset) in enumerate(cases):
        theirs = p.get(f"data:chunk_{i}_length")
        # One chunk is drawn at a time here; later ones of the original follow
        # the first without a gap.
        offsets = max(offset, 0) + chunk * np.arange(len(theirs))
        chunks, places = _chunks(length, chunk, offsets)
        p.check(f"data:chunk_{i}_a", chunks, EXACT)
        p.check(f"data:chunk_{i}_length", [len(x) for x in chunks], EXACT)
        if number == 1 and offset >= 0:
            cases[i, 3] = places
    p.check("data:chunk_cases", cases, EXACT)

    steps = p.get("data:schedule_step")
    batch = int(steps[1] - steps[0])
    schedule = Schedule(50_000, 50, batch, 5000, 50_000_000)
    # The counter is the original's before its latest update.
    due = [schedule.collect_due(step // batch + 1) for step in steps]
    p.check("data:schedule_collect", due, EXACT)
    p.skip(
        "data:schedule_collect_until",
        "a collector that starts early and ends is not offered",
    )
    ramps = {"constant": (0, 0.0), "up": (10000, 0.0), "down": (-10000, 0.1)}
    for name, ramp in ramps.items():
        noise = [noise_scale(int(step), *ramp) for step in steps]
        p.check(f"data:schedule_noise_{name}", noise, LAYER)


def init(p: Parity) -> None:
    """Ranges and moments of freshly initialised variables."""
    for file in CELLS:
        names = p.get(f"init:{file}_var_names").tolist()
        variables = original_variables(_fresh(p, file))
        values = [variables[name].numpy() for name in names]
        shapes = [json.dumps(list(x.shape)) for x in values]
        p.check(f"init:{file}_var_shapes", shapes, EXACT)
        array = f"init:{file}_min_max_mean_std"
        theirs = p.get(array)
        # Two random draws: what differs by less than five standard errors
        # counts as equal.
        ours = np.array([(x.min(), x.max(), x.mean(), x.std()) for x in values])
        size = np.array([x.size for x in values])[:, None]
        error = 5 * theirs[:, 3:] * np.sqrt(2 / size)
        # Extremes of n uniform draws miss the ends by the range / n or so.
        error = error * [[1, 1, 1, 1]]
        same = np.abs(ours - theirs) <= error
        p.check(array, np.where(same, theirs, ours), EXACT)


def _fresh(p: Parity, file: str, **options) -> WorldModel:
    """One of our models as it is initialised, sized for the folder."""
    action_dim = p.get("inputs:action").shape[-1]
    encoder = Encoder()
    dynamics = CELLS[file](action_dim, encoder.embed_size)
    size = dynamics.feature_size
    return WorldModel(
        dynamics, encoder, Decoder(size), VectorHead(size), **options
    )


def _model(p: Parity, file: str = "rssm", **options) -> WorldModel:
    """One of our models with the original's weights."""
    model = _fresh(p, file, **options)
    variables = original_variables(model)
    names = p.get(f"{file}:var_names").tolist()
    if sorted(names) != sorted(variables):
        raise ValueError(
            f"{file}:var_names and our variables differ: "
            f"{sorted({*names} ^ {*variables})}"
        )
    for name, shape in zip(names, p.get(f"{file}:var_shapes"), strict=True):
        variables[name].assign(_weight(name, tuple(json.loads(shape))))
    return model


_weight = functools.cache(formula_weight)


def _batch(p: Parity, mode: str) -> tuple[dict[str, tf.Tensor], Noise]:
    """The inputs, and stored noise (`eps`) or none (`mean`)."""
    batch = {
        "image": tf.constant(p.get("inputs:image_uint8")),
        "action": tf.constant(p.get("inputs:action")),
        "reward": tf.constant(p.get("inputs:reward")),
    }
    prior = tf.constant(p.get("inputs:eps_prior"))
    post = tf.constant(p.get("inputs:eps_posterior"))
    if mode == "mean":
        return batch, Noise(None, None, None)
    return batch, Noise(None, prior, post)


def _check_state(
    p: Parity, prefix: str, state: Any, parts: tuple[str, ...] = ()
) -> None:
    file, name = prefix.split(":")
    parts = parts or [x for x in STATE if f"{name}_{x}" in p.names(file)]
    for part in parts:
        p.check(f"{prefix}_{part}", getattr(state, STATE[part]), UNROLL)


def _check_losses(
    p: Parity,
    prefix: str,
    mode: str,
    model: WorldModel,
    variables: str = "losses:",
) -> None:
    """Terms, total and gradients of one setting."""
    loss, terms, gradients = _gradients(p, model, *_batch(p, mode), variables)
    for name in ("image", "reward", "divergence"):
        p.check(f"{prefix}_{name}_per_step", terms[name], UNROLL)
        p.check(f"{prefix}_{name}", tf.reduce_mean(terms[name]), UNROLL)
    p.check(f"{prefix}_divergence_raw", terms["kl"], UNROLL)
    p.check(f"{prefix}_total", loss, UNROLL)
    norm = tf.linalg.global_norm(gradients)
    p.check(f"{prefix}_grad_global_norm", norm, GRADIENT)
    _check_gradients(p, prefix, gradients, variables)


def _gradients(
    p: Parity, model: WorldModel, batch: dict, noise: Noise, prefix: str
) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor]]:
    """The loss, its terms per step, and gradients in the golden order."""
    named = original_variables(model)
    variables = [named[x] for x in p.get(f"{prefix}var_names").tolist()]
    terms, _, _ = model.objectives(batch, noise)
    with tf.GradientTape() as tape:
        loss, _ = model.loss(batch, noise)
    return loss, terms, tape.gradient(loss, variables)


def _check_gradients(
    p: Parity, prefix: str, gradients: list[tf.Tensor], variables: str
) -> None:
    index = p.get(f"{variables}sample_index")
    values = [gradient.numpy() for gradient in gradients]
    norms = [np.linalg.norm(x) for x in values]
    p.check(f"{prefix}_grad_norm", norms, GRADIENT, rows=True)
    p.check(f"{prefix}_grad_sample", _pick(values, index), GRADIENT, rows=True)


def _pick(arrays: list[np.ndarray], index: Any) -> np.ndarray:
    """Entries of each array at flat positions."""
    pairs = zip(arrays, index, strict=True)
    return np.stack([x.ravel()[i] for x, i in pairs])


def _uint8(image: tf.Tensor, bits: int) -> np.ndarray:
    return np.clip(256 * postprocess(image, bits), 0, 255).astype(np.uint8)


def _chunks(
    length: int, chunk: int, offsets: np.ndarray
) -> tuple[np.ndarray, int]:
    """Chunks of 0, 1, 2... at given offsets, and how many offsets exist."""

    class Given:
        def integers(self, high, size):
            self.high = high
            return offsets

    episode = {
        "image": np.zeros([length, 1, 1, 3], np.uint8),
        "action": np.zeros([length, 1], np.float32),
        "reward": np.arange(length, dtype=np.float32),
    }
    rng = Given()
    with tempfile.TemporaryDirectory() as directory:
        replay = Replay(directory)
        replay.add(episode, "count")
        batch = replay.sample(rng, len(offsets), chunk, ("reward",))
    return batch["reward"], rng.high


SECTIONS: dict[str, Callable[[Parity], None]] = {
    "networks": networks,
    "gru": gru,
    **{name: functools.partial(dynamics, file=name) for name in CELLS},
    "losses": losses,
    "model_losses": model_losses,
    "overshooting": overshooting,
    "optimizer": optimizer,
    "cem": cem,
    "agent": agent,
    "data": data,
    "init": init,
}

if __name__ == "__main__":
    import sys, time
    for name in sys.argv[1:] or SECTIONS:
        p = Parity("tests/golden")
        t=time.time()
        SECTIONS[name](p)
        print('#', name, round(time.time()-t,1), len(p.checks), 'unread', p.unread(name))
        worst = sorted(p.checks, key=lambda c: -c.relative/max(c.tolerance,1e-12))[:4]
        for c in p.checks:
            if not c.passed or c in worst: print('   ', 'ok' if c.passed else 'FAIL', c)
