"""Distils a planner: `python -m planet_tf.distill --logdir=RUN`.

A small network learns to do at once what the planner finds by a search. In the
first round the planner plays; in each later one the policy does, while the
planner says for every state what it would have done (DAgger; Ross et al., 2011,
"A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning"). The policy belongs to the checkpoint whose features it reads:

    python -m planet_tf.evaluate --logdir=RUN --policy
    planet_tf.load(RUN, policy=True)
"""

import contextlib
import time
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from planet_tf import command, run_folder, worlds
from planet_tf.control import episodes
from planet_tf.control.make import choose_backend_for
from planet_tf.control.tasks import IMAGE_SHAPE, label
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.seeding import fold_int

if TYPE_CHECKING:
    from planet_tf.control.mpc_agent import MPCAgent

_BATCH = 256


def distil(
    run: run_folder.Run,
    planner: "MPCAgent",
    rounds: int,
    count: int,
    updates: int,
) -> None:
    """Plays, learns, and writes the policy after each round.

    Args:
        run: The planner's.
        planner: See `load`.
        rounds: Of playing and learning.
        count: Episodes of each task in a round, side by side.
        updates: Gradient steps in a round.

    Raises:
        OSError: The policy could not be written.
        WorkerError: A world failed.
    """
    from planet_tf import build
    from planet_tf.control import distilled

    config, model = run.config, planner.model
    policy = build.policy(config, model, run.action_dim)
    rng = np.random.default_rng(config.seed)
    known = []
    with contextlib.ExitStack() as stack:
        workers = {
            task: [
                stack.enter_context(worlds.worker(config, task))
                for _ in range(count)
            ]
            for task in config.tasks
        }
        for number in range(rounds):
            player = distilled.Imitator(planner, policy if number else None)
            new, line = [], f"round {number + 1} of {rounds}:"
            for task, some in workers.items():
                seeds = [
                    fold_int(config.seed, f"distil_{task}", number * count + i)
                    for i in range(count)
                ]
                played = episodes.collect(some, player, seeds)
                returns = [*map(episodes.episode_return, played)]
                line += (
                    f" {label(task)} {np.mean(returns):.0f} "
                    f"(std {np.std(returns):.0f}),"
                )
                lengths = [len(x["reward"]) - 1 for x in played]
                new.append(player.take(lengths, some[0].spec.action_dim))
            known += new
            labels = tuple(map(np.concatenate, zip(*known, strict=True)))
            line += f" {len(labels[0])} decisions to learn from"
            if number:
                new = tuple(map(np.concatenate, zip(*new, strict=True)))
                share = distilled.explained(policy, new)
                line += f", of new ones it explained {share:.0%}"
            else:
                line += ", all of them the planner's"
            print(line, flush=True)
            distilled.fit(policy, labels, updates, _BATCH, rng)
            distilled.save(policy, run.policy)
    image = np.zeros([1, *IMAGE_SHAPE], np.uint8)
    agents = {
        "planner": planner,
        "policy": distilled.DistilledAgent(model, policy, run.action_dim),
    }
    for name, agent in agents.items():
        print(f"A decision takes the {name} {_time(agent, image):.1f} ms")
    print(f"Written: {run.policy}")


def load(run: run_folder.Run) -> "MPCAgent":
    """The planner of a run; ValueError if it cannot be read."""
    # TensorFlow, which flags and a missing run need not wait for.
    with without_cuda_complaints():
        import tensorflow as tf

        from planet_tf import build
        from planet_tf.tools import devices

        devices.prepare()
    tf.keras.utils.set_random_seed(run.config.seed)
    return build.agent(run.config, build.restored(run), run.action_dim)


def _time(agent: episodes.Policy, image: np.ndarray, reps: int = 30) -> float:
    """Milliseconds for a decision, the median."""
    agent.reset(1, 0)
    seconds = []
    for _ in range(reps):
        start = time.perf_counter()
        agent.act(image)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def main() -> None:
    """From the command line to the policy."""
    values = flags.FLAGS
    with command.reported():
        run = run_folder.find(command.logdir(), values.checkpoint)
        if not run.config.planner_iterations:
            raise ValueError(
                f"{run.logdir} has no planner to learn from: it was trained "
                "with --planner_iterations=0. Name another run."
            )
        # Training deletes older checkpoints, which policies belong to.
        with run_folder.locked(run.logdir):
            planner = load(run)
            choose_backend_for(run.config.tasks)
            print(f"Checkpoint {run.updates:,} of {run.logdir}", flush=True)
            if run.policy.exists():
                print(f"{run.policy} will be replaced", flush=True)
            try:
                distil(
                    run, planner, values.rounds, values.episodes, values.updates
                )
            except KeyboardInterrupt:
                print("Stopped. What was learned in finished rounds is kept.")
                raise


def define_flags() -> None:
    """The flags of this command."""
    command.define_run()
    flags.DEFINE_integer(
        "rounds", 24, "How often to play and to learn, in turn.", 1
    )
    flags.DEFINE_integer(
        "episodes", 4, "Episodes of each task in a round, side by side.", 1
    )
    flags.DEFINE_integer("updates", 1000, "Gradient steps in each round.", 1)


if __name__ == "__main__":
    define_flags()
    command.run(main)
