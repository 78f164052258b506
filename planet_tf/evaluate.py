"""Scores a run: `python -m planet_tf.evaluate --logdir=RUN --episodes=10`.

Plays episodes without exploration noise, several worlds planned in one batch,
and says how the returns are spread and whether what the planner predicts
comes true. Reads the run's folder without a lock: it may still be training.
"""

import contextlib
import dataclasses
import itertools
import pathlib
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tqdm
from absl import flags, logging

from planet_tf import command, machine, run_folder, worlds
from planet_tf.config import ACTING, SEARCH
from planet_tf.control.episodes import collect, terminated
from planet_tf.control.make import choose_backend_for
from planet_tf.control.plan_quality import decisions
from planet_tf.control.tasks import canonical, label
from planet_tf.tools.files import expanded
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.seeding import fold_int
from planet_tf.validation import validate

if TYPE_CHECKING:  # These import TensorFlow or matplotlib.
    from planet_tf.agent import Agent
    from planet_tf.evaluation_report import Played


def seeds(seed: int, task: str, count: int) -> list[int]:
    """Distinct seeds of worlds, apart from those of training and tests.

    They do not depend on the run, so that runs are compared on the same
    worlds; more episodes begin with the same ones.
    """
    found = {}
    for i in itertools.count():
        if len(found) == count:
            return list(found)
        found[fold_int(seed, f"evaluate_{canonical(task)}", i)] = None


def evaluate(
    agent: "Agent", tasks: Sequence[str], count: int, envs: int, seed: int
) -> dict[str, "Played"]:
    """Plays episodes of every task; returns them by the task's label.

    Args:
        agent: Chooses for all worlds of a task at once.
        tasks: Of its run.
        count: Episodes of each.
        envs: Worlds side by side, each in a process of its own.
        seed: The same seed, count and `envs` give the same episodes.

    Raises:
        WorkerError: A world failed.
    """
    from planet_tf.evaluation_report import Played

    config, result = agent.run.config, {}
    horizon = config.planner_horizon
    for task in tasks:
        value = config.value_loss_scale > 0
        played = Played(seeds(seed, task, count), [], [], horizon, value)
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(worlds.worker(config, task))
                for _ in range(min(envs, count))
            ]
            rounds = range(0, count, envs)
            bar = stack.enter_context(
                tqdm.tqdm(
                    total=len(rounds) * workers[0].spec.episode_length,
                    desc=task,
                    unit="decision",
                    disable=not sys.stderr.isatty(),
                )
            )
            for first in rounds:
                some = played.seeds[first : first + envs]
                batch = collect(workers[: len(some)], agent, some, bar.update)
                played.episodes.extend(batch)
                for row, episode in enumerate(batch if agent.records else ()):
                    played.plans.append(
                        decisions(
                            agent.records,
                            row,
                            episode["reward"],
                            horizon,
                            terminated(episode),
                        )
                    )
                if bar.disable:  # A log shows that it goes on.
                    print(
                        f"{task}: {len(played.episodes)} of {count} episodes",
                        flush=True,
                    )
        result[label(task)] = played
    return result


def main() -> None:
    """From the command line to the files."""
    logging.set_verbosity(logging.WARNING)
    with command.reported():
        agent, tasks, outdir = _prepare(flags.FLAGS)
    from planet_tf import evaluation_report

    values, run = flags.FLAGS, agent.run
    envs = values.envs or min(values.episodes, machine.cores())
    header = {
        "logdir": str(run.logdir.absolute()),
        "checkpoint": run.updates,
        "seed": values.seed,
        "envs": envs,
        "policy": values.policy,
    }
    if not values.policy:
        header |= {name: getattr(run.config, name) for name in ACTING}
        header["planner_overrides"] = _overrides(values)
    print(
        f"Checkpoint {run.updates} of {run.logdir}, "
        + ("its policy, " if values.policy else "")
        + f"{envs} world(s) side by side",
        flush=True,
    )
    try:
        choose_backend_for(tasks)
        played = evaluate(agent, tasks, values.episodes, envs, values.seed)
        try:  # A full disk must not lose the figures, nor `| head` the files.
            for task, each in played.items():
                figures = evaluation_report.summary(each)
                print(evaluation_report.table(task, figures), flush=True)
        finally:
            evaluation_report.write(outdir, header, played)
    except BrokenPipeError:
        raise
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    print("Videos:", *sorted(outdir.absolute().glob("*.gif")))
    print(f"Files: {outdir.absolute()}")


def _prepare(
    values: flags.FlagValues,
) -> tuple["Agent", tuple[str, ...], pathlib.Path]:
    """The agent, its tasks, and the folder to write to.

    Raises:
        OSError: A folder cannot be used.
        ValueError: With one line that says which flag to change.
    """
    for name in ("episodes", "envs", "seed"):
        least = 1 if name == "episodes" else 0
        if values[name].value < least:
            raise ValueError(
                f"--{name}={values[name].value}: must be at least {least}"
            )
    logdir = command.logdir()
    planner = _overrides(values)
    # Checked before TensorFlow is loaded, which takes seconds.
    run = run_folder.find(logdir, values.checkpoint)
    config = dataclasses.replace(run.config, **planner)
    validate(config)
    tasks = (values.task,) if values.task else config.tasks
    if not set(tasks) <= set(config.tasks):
        raise ValueError(
            f"--task={values.task}: this run is about {', '.join(config.tasks)}"
        )
    with without_cuda_complaints():
        from planet_tf.agent import load
        from planet_tf.tools import devices

        devices.prepare()
        agent = load(
            logdir,
            values.checkpoint,
            record=config.planner_iterations > 0 and not values.policy,
            policy=values.policy,
            **planner,
        )
    # Another search, task or seed does not write over the usual evaluation. A
    # run that is going on may have a newer checkpoint than the one above.
    special = {
        **planner,
        "task": values.task,
        "seed": values.seed,
        "policy": values.policy,
    }
    name = "-".join(
        [
            str(agent.run.updates),
            *(f"{k}={label(str(v))}" for k, v in special.items() if v),
        ]
    )
    outdir = expanded(values.outdir or agent.run.logdir / "evaluation" / name)
    outdir.mkdir(parents=True, exist_ok=True)
    return agent, tasks, outdir


def _overrides(values: flags.FlagValues) -> dict[str, int]:
    """The planner's parameters that were given as flags."""
    given = {name: values[name].value for name in ACTING}
    return {name: value for name, value in given.items() if value is not None}


def define_flags() -> None:
    """The flags of this command."""
    command.define_run()
    flags.DEFINE_integer("episodes", 10, "Episodes of each task.")
    flags.DEFINE_integer(
        "envs",
        0,
        "Worlds side by side, planned in one batch; 0: as many as episodes or "
        "processors, whichever is less.",
    )
    flags.DEFINE_integer("seed", 0, "Decides which episodes are played.")
    flags.DEFINE_string(
        "task", None, "One of the run's tasks; by default all of them."
    )
    flags.DEFINE_string(
        "outdir",
        None,
        "Folder for the results; by default <logdir>/evaluation/<checkpoint>.",
    )
    flags.DEFINE_boolean(
        "policy", False, "Act by what planet_tf.distill made of the planner."
    )
    as_trained = "By default as in training."
    for name in SEARCH:
        flags.DEFINE_integer(name, None, as_trained)
    flags.DEFINE_boolean("planner_warm_start", None, as_trained)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    define_flags()
    command.run(main)
