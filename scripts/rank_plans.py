"""How well a model ranks plans: `python -m scripts.rank_plans --logdir=RUN`.

Plays noise-free episodes and stops every few decisions, to predict the returns
of action sequences and to try the same in the simulator. A model may know what
comes on average, and score well on recorded episodes, without knowing what an
action changes: a search needs the latter. Prints, for sequences as a search
without warm start first draws them ("wide") and around the plan with a standard
deviation of 0.3 ("near"), means over these moments of

    correlation  of predicted and true returns, within a moment
    one sample   the same with one latent sample for a sequence, as a search
                 has it, instead of the mean of eight
    spread       standard deviations among sequences: of true returns, of
                 predicted ones, and of one sequence's samples
    return       true ones: of all sequences, of those that the model likes
                 best, the same share as the search's elites, of the best one

Returns are sums of rewards over the planner's horizon, also where a value is
part of what the search looks for.
"""

import contextlib
import functools
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import flags

from planet_tf import command, run_folder, worlds
from planet_tf.control.make import choose_backend_for
from planet_tf.control.rewards import get_reward
from planet_tf.control.simulator import Simulator
from planet_tf.control.workers import Worker
from planet_tf.evaluate import seeds
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.seeding import fold, fold_int

if TYPE_CHECKING:
    from planet_tf.control.mpc_agent import MPCAgent

_SAMPLES = 8
_NEAR = 0.3


class Ranking(NamedTuple):
    """One moment's, or the means of several; see above."""

    correlation: float
    one_sample: float
    spread_true: float
    spread_predicted: float
    spread_samples: float
    mean_return: float
    chosen_return: float
    best_return: float


def ranking(predicted: np.ndarray, true: np.ndarray, best: int) -> Ranking:
    """Compares returns of N action sequences from one moment.

    Args:
        predicted: By each of M latent samples, [M, N].
        true: Of the simulator, [N].
        best: As many are chosen by the predictions' mean.

    Returns:
        Returns and spreads in the unit of rewards; correlations in [-1, 1],
        nan where predictions or truth do not differ.
    """
    mean = predicted.mean(0)
    with np.errstate(invalid="ignore"):  # No spread: nan.
        correlations = [
            np.corrcoef(guess, true)[0, 1] for guess in (mean, predicted[0])
        ]
    return Ranking(
        *correlations,
        true.std(),
        mean.std(),
        predicted.std(0).mean(),
        true.mean(),
        true[np.argsort(mean)[-best:]].mean(),
        true.max(),
    )


def compare(
    run: run_folder.Run, task: str, episodes: int, every: int, amount: int
) -> tuple[int, dict[str, Ranking]]:
    """Plays; returns the number of moments and means over them, by kind.

    Args:
        run: From `run_folder.find`.
        task: One of its tasks.
        episodes: The first worlds of `planet_tf.evaluate`.
        every: Decisions between two moments.
        amount: Action sequences N of each kind.

    Raises:
        RuntimeError: Simulator and world go apart.
        ValueError: The checkpoint cannot be read, or there is no moment.
        WorkerError: A world failed.
    """
    # TensorFlow, which flags and a missing run need not wait for.
    with without_cuda_complaints():
        from planet_tf import build

    config = run.config
    policy = build.agent(config, build.restored(run), run.action_dim)
    repeat = config.action_repeat or None
    found = {"wide": [], "near": []}
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(worlds.worker(config, task))
        simulator = stack.enter_context(
            Worker(functools.partial(Simulator, task, repeat))
        )
        size, elites = world.spec.action_dim, config.planner_topk
        best = max(1, round(elites / config.planner_amount * amount))
        if every > world.spec.episode_length:
            raise ValueError(
                f"--every={every}: an episode of {task} has "
                f"{world.spec.episode_length} decisions; name fewer"
            )
        for seed in seeds(0, task, episodes):
            promises = [world.reset(seed), simulator.reset(seed)]
            seen, state = (promise() for promise in promises)
            policy.reset(seed=fold_int(seed, "policy", 0))
            done, decision = False, 0
            while not done:
                start = policy.memory.start
                action = policy.act(seen["image"][None])[0]
                decision += 1
                if decision % every == 0:
                    drawn = fold_int(seed, "rank", decision)
                    actions, predicted = _predict(
                        policy, start, drawn, amount, elites
                    )
                    for kind, sequences in actions.items():
                        tried = (state, sequences[..., :size])
                        true = simulator.call("rollout", tried)().sum(1)
                        found[kind].append(ranking(predicted[kind], true, best))
                promises = [
                    world.step(action[:size]),
                    simulator.step(action[:size]),
                ]
                (seen, reward, done), (state, same, _) = (
                    promise() for promise in promises
                )
                if abs(reward - same) > 1e-3:
                    raise RuntimeError(
                        f"{task}, decision {decision}: the simulator's reward "
                        f"is {same}, the world's {reward}. Please report it "
                        "with the versions of dm_control and mujoco."
                    )
    with warnings.catch_warnings():  # No moment with any spread: nan.
        warnings.filterwarnings("ignore", "Mean of empty slice")
        means = {k: Ranking(*np.nanmean(v, 0)) for k, v in found.items()}
    return len(found["near"]), means


def _predict(
    policy: "MPCAgent", start, seed: int, amount: int, elites: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By kind: action sequences [N, H, A], and their returns [M, N]."""
    import tensorflow as tf

    from planet_tf.control.planning import cross_entropy_method

    noise = policy.draw_noise(tf.constant(fold(seed, "plan", 0)), 1)
    state, horizon = policy.memory.state, noise.plan.shape[-2]
    plan = cross_entropy_method(
        policy.objective(state, noise.latent),
        noise.plan,
        elites=elites,
        start=start,
    ).numpy()[0]
    rng = np.random.default_rng(seed)
    shape = [2, amount, horizon, plan.shape[-1]]
    wide, near = rng.standard_normal(shape, np.float32)
    kinds = {
        "wide": np.clip(wide, -1, 1),
        "near": np.clip(plan + _NEAR * near, -1, 1),
    }
    latent = None
    if noise.latent is not None:
        shape = [_SAMPLES, 1, amount, horizon, noise.latent.shape[-1]]
        latent = tf.constant(rng.standard_normal(shape, np.float32))
    objective = policy.predicted_return(state, latent)
    return kinds, {
        kind: np.stack(
            [
                objective(tf.constant(actions[None]), tf.constant(i))[0]
                for i in range(1 if latent is None else _SAMPLES)
            ]
        )
        for kind, actions in kinds.items()
    }


def main() -> None:
    """From the command line to the table."""
    values = flags.FLAGS

    def show(run: run_folder.Run):
        task = values.task or run.config.tasks[0]
        if task not in run.config.tasks:
            raise ValueError(
                f"--task={task}: this run is about "
                f"{', '.join(run.config.tasks)}"
            )
        get_reward(task)  # Whether there is one.
        choose_backend_for([task])
        return run, *compare(
            run, task, values.episodes, values.every, values.amount
        )

    with command.reported():
        run, count, means = run_folder.use(
            show, command.logdir(), values.checkpoint
        )
    print(
        f"Checkpoint {run.updates:,} of {run.logdir}, "
        f"{values.task or run.config.tasks[0]}: {count} moments, "
        f"{run.config.planner_horizon} decisions ahead"
    )
    names = [name.replace("_", " ") for name in Ranking._fields]
    print("  ".join(f"{name:>16}" for name in ["", *names]))
    for kind, mean in means.items():
        cells = [f"{value:.2f}" for value in mean]
        print("  ".join(f"{cell:>16}" for cell in [kind, *cells]))
    print(
        "Means over moments; wide: sequences as a first search draws them, "
        "near: around its plan.\nnan: returns differ in no moment. --help says "
        "what the columns are."
    )


def define_flags() -> None:
    """The flags of this command."""
    command.define_run()
    flags.DEFINE_string("task", None, "One of the run's; by default the first.")
    flags.DEFINE_integer("episodes", 1, "Episodes to play.", 1)
    flags.DEFINE_integer("every", 10, "Decisions between moments.", 1)
    flags.DEFINE_integer(
        "amount", 100, "Action sequences of each kind, at each moment.", 2
    )


if __name__ == "__main__":
    define_flags()
    command.run(main)
