r"""The planner with true physics: `python -m scripts.plan_with_simulator`.

    python -m scripts.plan_with_simulator --task=cup_catch --episodes=3 \
        --planner_amount=200 --planner_topk=20 --planner_iterations=5

The agent's own cross-entropy method, but what it maximises is the sum of the
simulator's rewards instead of a model's: without any learning this shows what
the planner is worth, and which of its budgets are enough. Costs
candidates x iterations x horizon x 1,000 simulator steps an episode, shared
among the processes; the paper's budget is 120 million, some hours of one core
for cup_catch.
"""

import argparse
import contextlib
import csv
import functools
import json
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from planet_tf import machine
from planet_tf.control.environments import Observation
from planet_tf.control.rewards import get_reward
from planet_tf.control.simulator import Simulator
from planet_tf.control.tasks import EPISODE_FRAMES, canonical
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.tools.files import expanded
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.seeding import fold, fold_int
from scripts.command_line import Parser
from scripts.comparison import published


class Budget(NamedTuple):
    """How hard the planner tries; the defaults are the paper's."""

    candidates: int = 1000
    elites: int = 100
    iterations: int = 10
    horizon: int = 12
    # The noise's power falls with frequency f as 1 / f**noise_exponent.
    noise_exponent: float = 0.0
    # Start from the rest of the last plan instead of zeros.
    warm_start: bool = False


class Episode(NamedTuple):
    """What one episode came to."""

    seed: int
    score: float  # The sum of its rewards.
    seconds: float  # For each decision.


def coloured(noise: np.ndarray, exponent: float) -> np.ndarray:
    """Correlates noise in time, as in iCEM (Pinneri et al., 2020).

    Args:
        noise: Independent standard normal draws [..., H, A].
        exponent: Of the spectrum's fall; 0 leaves the noise as it is.

    Returns:
        Standard normal draws [..., H, A] with power 1 / f**exponent.
    """
    H = noise.shape[-2]
    # The mean over time gets the power of the slowest wave.
    frequency = np.maximum(np.abs(np.fft.fftfreq(H)), 1 / H)
    scale = frequency ** (-exponent / 2)
    scale /= np.sqrt(np.mean(scale**2))
    waves = np.fft.fft(noise, axis=-2) * scale[:, None]
    return np.fft.ifft(waves, axis=-2).real.astype(np.float32)


def plan(
    workers: Sequence[Worker],
    state: Observation,
    noise: np.ndarray,
    start: np.ndarray,
    elites: int,
) -> np.ndarray:
    """Plans from a state of the simulator.

    Args:
        workers: Simulators, all reset with the seed of this episode.
        state: An observation of it.
        noise: Standard normal draws [I, 1, N, H, A].
        start: Mean of the first belief, [H, A].
        elites: The best candidates, to which the belief is refitted.

    Returns:
        Actions [H, A] in [-1, 1].
    """
    import tensorflow as tf

    from planet_tf.control.planning import cross_entropy_method

    def objective(actions: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        shares = np.array_split(actions.numpy()[0], len(workers))
        promises = [
            worker.call("rollout", (state, share))
            for worker, share in zip(workers, shares, strict=True)
            if len(share)
        ]
        rewards = np.concatenate([promise() for promise in promises])
        return tf.constant(rewards.sum(axis=1)[None], tf.float32)

    return cross_entropy_method(
        objective,
        tf.constant(noise),
        elites=elites,
        start=tf.constant(start[None]),
    ).numpy()[0]


def play(workers: Sequence[Worker], budget: Budget, seed: int) -> Episode:
    """Plays one episode; the first worker carries the actions out.

    Args:
        workers: Simulators of one task.
        budget: Of the planner.
        seed: Of the start state and of all noise.
    """
    import tensorflow as tf

    promises = [worker.reset(seed) for worker in workers]
    state = [promise() for promise in promises][0]
    A = workers[0].spec.action_dim
    shape = [budget.iterations, 1, budget.candidates, budget.horizon, A]
    first = np.zeros([budget.horizon, A], np.float32)
    start = time.perf_counter()
    score, decisions, done = 0.0, 0, False
    while not done:
        noise = tf.random.stateless_normal(
            shape, fold(seed, "plan", decisions)
        ).numpy()
        if budget.noise_exponent:
            noise = coloured(noise, budget.noise_exponent)
        actions = plan(workers, state, noise, first, budget.elites)
        if budget.warm_start:
            first[:-1] = actions[1:]
        state, reward, done = workers[0].step(actions[0])()
        score += reward
        decisions += 1
    seconds = (time.perf_counter() - start) / decisions
    return Episode(seed, score, seconds)


def report(
    task: str, budget: Budget, episodes: Sequence[Episode]
) -> dict[str, object]:
    """Everything that is known about some episodes, as plain values."""
    scores = [episode.score for episode in episodes]
    paper = published.find(
        published.read(), published.SIMULATOR, canonical(task)
    )
    return {
        "task": task,
        **budget._asdict(),
        "episodes": len(episodes),
        "mean": round(float(np.mean(scores)), 1),
        "min": round(min(scores), 1),
        "max": round(max(scores), 1),
        "paper": paper and int(paper.returns[0]),  # With the defaults.
        "simulator_steps_per_episode": budget.candidates
        * budget.iterations
        * budget.horizon
        * EPISODE_FRAMES,
        "seconds_per_decision": round(
            float(np.mean([episode.seconds for episode in episodes])), 3
        ),
        "seeds": [episode.seed for episode in episodes],
        "returns": [round(score, 1) for score in scores],
    }


def check_header(path: pathlib.Path, columns: list[str]) -> None:
    """Makes sure that rows of these columns fit into a CSV file.

    Raises:
        ValueError: The file has other columns.
    """
    if not path.exists() or not path.stat().st_size:
        return
    with path.open(newline="", errors="replace") as file:
        found = next(csv.reader(file), [])
    if found != columns:
        raise ValueError(
            f"--csv={path}: has other columns ({', '.join(found)[:200]}) than "
            f"this command writes ({', '.join(columns)}). Name another file."
        )


def append_row(path: pathlib.Path, row: dict[str, object]) -> None:
    """Adds a row to a CSV file, with a header where it is new.

    Raises:
        ValueError: As `check_header`.
    """
    check_header(path, list(row))
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if not file.tell():
            writer.writeheader()
        writer.writerow(
            {
                key: " ".join(map(str, value))
                if isinstance(value, list)
                else value
                for key, value in row.items()
            }
        )


def _at_least(lowest: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if (value := int(text)) < lowest:
            raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
        return value

    convert.__name__ = "integer"  # In argparse's message.
    return convert


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m scripts.plan_with_simulator",
        description="Plans with the true physics instead of a learned model.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = functools.partial(parser.add_argument, type=_at_least(1))
    default = Budget()
    add("--task", type=str, default="cup_catch", help="of the paper")
    add("--episodes", default=3, help="how many to play")
    add("--seed", type=_at_least(0), default=0, help="of the episodes")
    add("--planner_amount", default=default.candidates, help="candidates")
    add("--planner_topk", default=default.elites, help="elites")
    add("--planner_iterations", default=default.iterations, help="refits")
    add("--planner_horizon", default=default.horizon, help="decisions ahead")
    add(
        "--noise_exponent",
        type=float,
        default=default.noise_exponent,
        help="correlates candidates in time: power 1 / frequency**exponent",
    )
    parser.add_argument(
        "--planner_warm_start",
        dest="warm_start",
        action="store_true",
        help="start from the rest of the last plan",
    )
    add("--processes", default=machine.cores(), help="simulators side by side")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead"
    )
    add("--csv", type=expanded, help="append one row to this file")
    args = parser.parse_args(argv)
    try:
        get_reward(args.task)
    except ValueError as error:
        parser.error(f"--task={args.task}: {error}")
    if args.planner_topk > args.planner_amount:
        parser.error(
            f"--planner_topk={args.planner_topk}: must be at most "
            f"--planner_amount={args.planner_amount}"
        )
    if args.csv:
        try:  # Better now than after hours of planning.
            args.csv.parent.mkdir(parents=True, exist_ok=True)
            args.csv.open("a").close()
            columns = report(args.task, Budget(), [Episode(0, 0.0, 0.0)])
            check_header(args.csv, [*columns, "command"])
        except OSError as error:
            parser.error(f"--csv={args.csv}: {error.strerror}")
        except ValueError as error:
            parser.error(str(error))
    return args


def main(argv: list[str]) -> int:
    """Plays and prints; returns the exit status, 2 for a bad argument."""
    args = _arguments(argv)
    budget = Budget(
        args.planner_amount,
        args.planner_topk,
        args.planner_iterations,
        args.planner_horizon,
        args.noise_exponent,
        args.warm_start,
    )
    with without_cuda_complaints():
        import tensorflow as tf  # noqa: F401
    constructor = functools.partial(Simulator, args.task)
    say = functools.partial(
        print, file=sys.stderr if args.json else sys.stdout, flush=True
    )
    say(f"{'episode':>7}{'return':>9}{'s/decision':>12}")
    episodes = []
    try:
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(Worker(constructor))
                for _ in range(args.processes)
            ]
            for i in range(args.episodes):
                seed = fold_int(args.seed, "episode", i)
                episodes.append(play(workers, budget, seed))
                _, score, seconds = episodes[-1]
                say(f"{i:7}{score:9.1f}{seconds:12.3f}")
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 1
    row = report(args.task, budget, episodes)
    say(f"{'mean':>7}{row['mean']:9.1f}{row['seconds_per_decision']:12.3f}")
    if row["paper"]:
        say(
            f"Paper: {row['paper']} (CEM + true simulator; 1,000 candidates, "
            "100 elites, 10 iterations, horizon 12)"
        )
    if args.csv:
        command = f"python -m scripts.plan_with_simulator {shlex.join(argv)}"
        try:
            append_row(args.csv, {**row, "command": command})
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        say(f"Row added to {args.csv}")
    else:
        say("Kept in no file: --csv=FILE adds it to one.")
    if args.json:
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
