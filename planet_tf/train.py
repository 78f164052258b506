"""Trains PlaNet: `python -m planet_tf.train --task=cup_catch`. Read this first.

    flags -> Config -> parts -> the loop

The loop is the paper's algorithm 1: gradient steps on recorded episodes, then
one more episode played with the planner, and so on. What is due after which
gradient step follows the original's trainer (`training/schedule.py`).

Everything is kept in `--logdir`; the same command continues a run that was
stopped. TensorFlow is imported inside `train` alone, so that flag errors come
at once and the spawned processes of the environments stay free of it.
"""

import contextlib
import functools
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from absl import app, flags, logging

from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control import rendering
from planet_tf.control.collector import Collector
from planet_tf.control.environments import make_environment
from planet_tf.control.episodes import Episode, RandomActions, episode_return
from planet_tf.control.tasks import get_task
from planet_tf.control.workers import Worker
from planet_tf.tools.progress import Progress, Timers
from planet_tf.tools.replay import KEYS, Replay
from planet_tf.tools.seeding import fold
from planet_tf.training.schedule import Schedule, noise_scale

TEST_LENGTH = 50  # Frames of a held-out sequence: 5 seen, 45 predicted.
MAX_SKIPPED = 10  # Updates without finite gradient, between two episodes.


def train(config: Config, logdir: pathlib.Path) -> None:
    """Runs, or continues, a run until its last update.

    Raises:
        FloatingPointError: Loss or gradient stopped being finite.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint was written.
        OSError: The disk is full, or not writable.
        WorkerError: An environment failed.
    """
    import tensorflow as tf

    from planet_tf import build, console
    from planet_tf.tools.summaries import Logger
    from planet_tf.training.checkpoint import Checkpoint
    from planet_tf.training.evaluation import holdout
    from planet_tf.training.learner import Learner

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.keras.utils.set_random_seed(config.seed)
    started = time.time()
    timers = Timers()
    with contextlib.ExitStack() as stack:
        # The worlds, and what was recorded in them.
        workers = {
            task: stack.enter_context(_worker(config, task))
            for task in config.tasks
        }
        replay = Replay(logdir / "train_episodes")
        test_replay = Replay(logdir / "test_episodes")
        collector = Collector("train", workers, replay, config.seed, timers)
        tester = Collector("test", workers, test_replay, config.seed, timers)

        # The model, what trains it, and the agent that plans in it.
        action_dim = max(w.spec.action_dim for w in workers.values())
        observations = next(iter(workers.values())).spec.observations
        model = build.world_model(config, action_dim, observations)
        keys = (*KEYS, *model.diagnostics)
        learner = Learner(
            model, config.main_learning_rate, config.main_gradient_clipping
        )
        agent = build.agent(config, model, action_dim)
        # Deviates from planet: tests do not shorten with training's chunks,
        # so that predictions are comparable between configurations.
        test_length = min(
            TEST_LENGTH, *(w.spec.episode_length + 1 for w in workers.values())
        )

        # Where the run stands, and what is due when.
        checkpoint = Checkpoint(
            logdir / "checkpoints", model, learner.optimizer
        )
        updates, before = checkpoint.restore() or (0, 0.0)
        schedule = Schedule(
            config.train_steps,
            config.test_steps,
            config.batch_shape[0],
            config.collect_every,
            config.max_steps,
        )
        log = stack.enter_context(Logger(logdir, resume_updates=updates))
        progress = stack.enter_context(
            Progress(schedule.total_updates, updates)
        )

        def save() -> None:
            checkpoint.save(updates, before + time.time() - started)

        stack.enter_context(_saved_on_interrupt(save))
        progress.write(
            console.introduction(config, schedule, model, workers, updates)
        )

        for source in (collector, tester):
            random = RandomActions(action_dim, config.seed_action_correlation)
            for _ in range(source.missing(config.num_seed_episodes)):
                played = source.play(random, progress.played)
                progress.write(console.seed_line(source.name, played))

        while updates < schedule.total_updates:
            losses = []
            batches = replay.batches(
                updates,
                schedule.next_stop(updates) - updates,
                *config.batch_shape,
                config.seed,
                keys,
            )
            for batch in _waiting(batches, timers):
                with timers("update"):
                    seed = tf.constant(fold(config.seed, "update", updates))
                    batch = {k: tf.constant(v) for k, v in batch.items()}
                    losses.append(learner.update(batch, seed))
                updates += 1
                progress.advance(losses[-1], timers)
            metrics = _mean(losses, updates)

            if schedule.collect_due(updates):
                agent.action_noise = config.train_action_noise * noise_scale(
                    schedule.collect_step(updates),
                    config.action_noise_ramp,
                    config.action_noise_min,
                )
                played = collector.play(agent, progress.played)
                metrics |= _returns("train", played)
                progress.note(score=metrics["train/score"])

            counters = {"updates": updates, **_steps(config, replay)}
            if schedule.test_due(updates):
                agent.action_noise = 0.0
                played = tester.play(agent, progress.played)
                metrics |= _returns("test", played)
                progress.note(test_score=metrics["test/score"])
                with timers("evaluate"):
                    batches = test_replay.batches(
                        updates,
                        schedule.test_batches,
                        config.batch_shape[0],
                        test_length,
                        config.seed,
                        keys,
                    )
                    scores, video = holdout(
                        model, batches, fold(config.seed, "holdout", updates)
                    )
                metrics |= scores
                log.video(counters, "test/open_loop", video)
                for task, episode in played.items():
                    log.video(counters, f"test/{task}", episode["image"])

            metrics |= timers.summary()
            metrics["time/total"] = before + time.time() - started
            log.scalars(counters, metrics)
            save()
            progress.write(console.line(counters, metrics))


def _worker(config: Config, task: str) -> contextlib.AbstractContextManager:
    """The world of a task in its own process, closed at the end."""
    constructor = functools.partial(
        make_environment,
        task,
        render_quality=config.render_quality,
        action_repeat=config.action_repeat or None,
        camera=config.camera_id,
    )
    return contextlib.closing(Worker(constructor))


def _waiting(batches: Iterable, timers: Timers) -> Iterator:
    """The same batches; time until one is there counts as `wait`."""
    batches = iter(batches)
    while True:
        with timers("wait"):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _mean(losses: list[dict], updates: int) -> dict[str, float]:
    """Means since the last log, by `train/<name>`.

    Raises:
        FloatingPointError: Too many updates had no finite gradient.
    """
    values = {
        f"train/{name}": [float(loss[name]) for loss in losses]
        for name in losses[0]
    }
    skipped = int(sum(values["train/skipped"]))
    if skipped > MAX_SKIPPED:
        raise FloatingPointError(
            f"loss or gradient was not finite in {skipped} of the last "
            f"{len(losses)} updates before update {updates}. The weights of "
            "the last checkpoint are intact. A lower --main_learning_rate or "
            "--main_gradient_clipping usually helps."
        )
    return {name: float(np.mean(v)) for name, v in values.items()}


def _returns(split: str, played: dict[str, Episode]) -> dict[str, float]:
    """Returns by task, and their mean under the original's name `score`."""
    returns = {k: episode_return(v) for k, v in played.items()}
    scores = {f"{split}/return_{k}": v for k, v in returns.items()}
    return {**scores, f"{split}/score": float(np.mean(list(returns.values())))}


def _steps(config: Config, replay: Replay) -> dict[str, int]:
    """Episodes, decisions and simulator steps in the training data."""
    steps = {task: replay.agent_steps(task) for task in config.tasks}
    repeats = {
        task: config.action_repeat or get_task(task).action_repeat
        for task in config.tasks
    }
    return {
        "episodes": replay.episodes,
        "agent_steps": sum(steps.values()),
        "env_steps": sum(steps[task] * repeats[task] for task in steps),
    }


@contextlib.contextmanager
def _saved_on_interrupt(save: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM lose no update; a second Ctrl-C ends at once."""
    try:
        yield
    except KeyboardInterrupt:
        save()
        raise


def prepare(config: Config, logdir: pathlib.Path, change: bool) -> None:
    """Makes the run's folder, or checks that it holds the same run.

    Raises:
        ValueError: It holds a run with another config, and `change` is False.
        OSError: The folder is not writable.
    """
    path = logdir / "config.yaml"
    if path.exists():
        differences = configs.differences(configs.load(path), config)
        if differences and not change:
            raise ValueError(
                f"{logdir} holds a run with another config:\n  "
                + "\n  ".join(differences)
                + "\nUse another --logdir, the same flags as before, or "
                "--allow_config_change to go on with the new values."
            )
    configs.save(config, path)


def main(argv: list[str]) -> None:
    """From the command line to `train`."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    try:
        config = configs.config_from_flags()
        logdir = pathlib.Path(
            flags.FLAGS.logdir or _default_logdir(config)
        ).expanduser()
        prepare(config, logdir, flags.FLAGS.allow_config_change)
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    how_to_look = (
        f"Results: {logdir.absolute()}\n"
        f"To look at them: tensorboard --logdir={logdir}"
    )
    print(how_to_look, flush=True)
    logging.set_verbosity(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rendering.choose_backend()
        train(config, logdir)
    except KeyboardInterrupt:
        print("Stopped. The same command continues this run.\n" + how_to_look)
        sys.exit(130)
    except (FloatingPointError, OSError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print("Finished.\n" + how_to_look)


def _default_logdir(config: Config) -> str:
    name = "-".join([*config.tasks, flags.FLAGS.config, f"seed{config.seed}"])
    return f"~/planet_tf/{name}"


def define_flags() -> None:
    """The flags of this command; those of a Config among them."""
    configs.define_flags()
    flags.adopt_module_key_flags(configs)  # For --help.
    flags.DEFINE_string(
        "logdir",
        None,
        "Folder of this run; the same folder continues it. "
        "By default ~/planet_tf/<task>-<config>-seed<seed>.",
    )
    flags.DEFINE_boolean(
        "allow_config_change",
        False,
        "Go on with a run whose config differs from the flags.",
    )


if __name__ == "__main__":
    define_flags()
    app.run(main)
