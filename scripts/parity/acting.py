"""The planner and the acting agent."""

from typing import Any

import numpy as np
import tensorflow as tf

from planet_tf.control.belief import Memory
from planet_tf.control.mpc_agent import MPCAgent, PolicyNoise
from planet_tf.control.planning import cross_entropy_method
from scripts.parity.model import STATE, build, check_state
from scripts.parity.report import UNROLL, Parity

_MODES = ("mean", "eps")


def cem(p: Parity) -> None:
    """The planner, iteration by iteration."""
    model = build(p)
    noise = tf.constant(p.get("cem:noise"))[:, None]
    eps = tf.constant(p.get("cem:eps").astype("f4"))[:, None]
    iterations, _, N, H, A = noise.shape
    best = elites(p)
    agent = _agent(model, noise.shape, best)
    # One iteration more than planned shows the belief after the last.
    longer = tf.concat([noise, noise[-1:]], 0)
    for mode in _MODES:
        state = model.dynamics.initial(1)
        for name in ("mean", "stddev", "sample", "belief", "rnn_state"):
            value = tf.constant(p.get(f"cem:{mode}_state_{name}"))
            state = state._replace(**{STATE[name]: value})
        latent = None if mode == "mean" else tf.concat([eps, eps[-1:]], 0)
        objective = agent.predicted_return(state, latent)
        actions, returns = (
            np.zeros([iterations + 1, N, H, A]),
            np.zeros([iterations + 1, N]),
        )

        def record(candidates, i, objective=objective, a=actions, r=returns):
            result = objective(candidates, i)
            a[int(i)], r[int(i)] = candidates[0], result[0]
            return result

        cross_entropy_method(record, longer, elites=best)
        p.check(f"cem:{mode}_returns", returns[:iterations], UNROLL)
        ranked = np.sort(returns[:iterations])[:, ::-1]
        gap = ranked[:, best - 1] - ranked[:, best]
        p.check(
            f"cem:{mode}_elite_gap",
            gap,
            UNROLL,
            least=np.abs(returns).max(),
            note="relative to the returns that it is a difference of",
        )
        mean, std = _beliefs(actions[1:], longer[1:, 0].numpy())
        p.check(f"cem:{mode}_mean", mean[:, None], UNROLL)
        p.check(f"cem:{mode}_stddev", std[:, None], UNROLL)
        plan = cross_entropy_method(objective, noise, elites=best)
        p.check(f"cem:{mode}_plan", plan, UNROLL)


def agent(p: Parity) -> None:
    """Two decisions of the acting agent, and the first again after a reset."""
    model = build(p)
    images = tf.constant(p.get("agent:observation"))
    plan = tf.constant(p.get("agent:cem_noise"))[:, :, None]
    latent = tf.constant(p.get("agent:cem_eps").astype("f4"))[:, :, None]
    post = tf.constant(p.get("agent:step_eps"))[:, 1]
    explore = tf.constant(p.get("agent:exploration_eps"))
    policy = _agent(model, plan.shape[1:], elites(p))
    # Compiled as when acting.
    decide = tf.function(policy.decide)

    def call(i: int, memory: Memory) -> Memory:
        noise = PolicyNoise(None, post[i], plan[i], latent[i], explore[i])
        scale = tf.constant(float(p.settings["exploration"]))
        # Searches of the original know nothing of the last plan.
        return decide(images[i], memory, scale, noise)[0]

    start = Memory(
        model.dynamics.initial(1),
        tf.zeros(explore.shape[1:]),
        None,
        tf.zeros_like(images[0]),
    )
    first = call(0, start)
    second = call(1, first)
    actions = tf.stack([first.action, second.action])
    p.check("agent:action", actions, UNROLL)
    p.check("agent:prev_action", actions, UNROLL)
    states = tf.nest.map_structure(
        lambda *x: tf.stack(x), first.state, second.state
    )
    check_state(p, "agent:state", states)
    p.check("agent:action_after_reset", call(0, start).action, UNROLL)


def elites(p: Parity) -> int:
    """How many the original refitted to: the gap after the last says so."""
    returns = np.concatenate([p.get(f"cem:{x}_returns") for x in _MODES])
    gap = np.concatenate([p.get(f"cem:{x}_elite_gap") for x in _MODES])
    gaps = -np.diff(np.sort(returns)[:, ::-1])
    return int(np.abs(gaps - gap[:, None]).max(0).argmin()) + 1


def _agent(model: Any, shape: tuple[int, ...], best: int) -> MPCAgent:
    """An agent whose plans take noise of shape [I, B, N, H, A]."""
    iterations, _, N, H, A = shape
    return MPCAgent(
        model, A, horizon=H, candidates=N, elites=best, iterations=iterations
    )


def _beliefs(
    actions: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Recovers mean and std [I, H, A] from clip(mean + std * noise, -1, 1).

    Of the candidates [I, N, H, A] that were not clipped, the two with the
    smallest and largest noise decide.
    """
    free = np.abs(actions) < 1.0
    low = np.where(free, noise, np.inf).argmin(1)[:, None]
    high = np.where(free, noise, -np.inf).argmax(1)[:, None]

    def span(x: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, high, 1) - np.take_along_axis(x, low, 1)

    std = span(actions) / span(noise)
    mean = np.take_along_axis(actions - std * noise, low, 1)
    return mean[:, 0], std[:, 0]
