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
import fcntl
import functools
import os
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from absl import app, flags, logging

from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control import rendering
from planet_tf.control.collector import Collector
from planet_tf.control.environments import Spec, make_environment
from planet_tf.control.episodes import Episode, RandomActions, episode_return
from planet_tf.control.tasks import get_task
from planet_tf.control.workers import Worker
from planet_tf.tools.progress import Progress, Timers
from planet_tf.tools.replay import KEYS, Replay
from planet_tf.tools.seeding import fold
from planet_tf.training.schedule import Schedule, noise_scale

TEST_LENGTH = 50  # Frames of a held-out sequence: 5 seen, 45 predicted.
MAX_SKIPPED = 10  # Updates in a row without finite gradient end a run.


def train(config: Config, logdir: pathlib.Path) -> None:
    """Runs, or continues, a run until its last update.

    Raises:
        FloatingPointError: Loss or gradient stopped being finite.
        KeyboardInterrupt: Ctrl-C or SIGTERM; a checkpoint was written.
        OSError: The disk is full, or not writable.
        ValueError: What `logdir` holds does not fit `config`.
        WorkerError: An environment failed; a checkpoint was written.
    """
    with without_cuda_complaints():
        import tensorflow as tf

        from planet_tf import build, console, dashboard, pictures
        from planet_tf.tools.summaries import Logger
        from planet_tf.training.checkpoint import Checkpoint, Position
        from planet_tf.training.evaluation import holdout, merged
        from planet_tf.training.learner import Learner

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.keras.utils.set_random_seed(config.seed)
    started = time.time()
    timers = Timers()
    with contextlib.ExitStack() as stack:
        # The worlds, and what was recorded in them.
        workers = {
            task: stack.enter_context(worker(config, task))
            for task in config.tasks
        }
        replay = Replay(logdir / "train_episodes")
        test_replay = Replay(logdir / "test_episodes")
        collector = Collector("train", workers, replay, config.seed, timers)
        tester = Collector("test", workers, test_replay, config.seed, timers)

        # The model, what trains it, and the agent that plans in it.
        specs = [worker.spec for worker in workers.values()]
        action_dim = max(spec.action_dim for spec in specs)
        model = build.world_model(config, action_dim, specs[0].observations)
        keys = (*KEYS, *model.diagnostics)
        learner = Learner(
            model, config.main_learning_rate, config.main_gradient_clipping
        )
        agent = build.agent(config, model, action_dim)

        # Where the run stands, and what is due when.
        checkpoint = Checkpoint(
            logdir / "checkpoints", model, learner.optimizer
        )
        updates, seconds, due = first = checkpoint.restore() or Position()
        schedule = Schedule(
            config.train_steps,
            config.test_steps,
            config.batch_shape[0],
            config.collect_every,
            config.max_steps,
        )
        configs.save(config, logdir / "config.yaml")
        # A line of work that is still due may have been written already.
        log = stack.enter_context(Logger(logdir, updates - due))
        dashboard.introduce(log, config)
        progress = stack.enter_context(
            Progress(schedule.total_updates, updates)
        )
        progress.write(
            console.introduction(config, schedule, model, workers, updates)
        )

        for source in (collector, tester):
            random = RandomActions(action_dim, config.seed_action_correlation)
            for _ in range(source.missing(config.num_seed_episodes)):
                played = source.play(random, progress.played)
                progress.write(console.seed_line(source.name, played))
        timers.summary()  # What comes next is counted from here.

        def save() -> None:
            passed = seconds + time.time() - started
            checkpoint.save(Position(updates, passed, due))

        stack.enter_context(_saved_on_failure(save))
        while due or updates < schedule.total_updates:
            metrics, curves = {}, {}
            if not due:
                stop = schedule.next_stop(updates)
                losses = []
                for batch in _waiting(
                    replay.batches(
                        updates,
                        stop - updates,
                        *config.batch_shape,
                        config.seed,
                        keys,
                    ),
                    timers,
                ):
                    with timers("update"):
                        noise = tf.constant(
                            fold(config.seed, "update", updates)
                        )
                        losses.append(learner.update(batch, noise))
                        updates += 1
                        if updates == stop:  # An accelerator runs behind.
                            losses[-1]["loss"].numpy()
                    progress.advance(losses[-1], timers)
                metrics = _mean(losses, updates)
                due = True

            if schedule.collect_due(updates):
                agent.action_noise = config.train_action_noise * noise_scale(
                    schedule.collect_step(updates),
                    config.action_noise_ramp,
                    config.action_noise_min,
                )
                played = collector.play(agent, progress.played)
                metrics |= _returns("train", played)

            counters = {"updates": updates, **_steps(config, replay)}
            if schedule.test_due(updates):
                agent.action_noise = 0.0
                # Deviates from planet: one episode of each task, however many
                # batches `test_steps` asks for.
                played = tester.play(agent, progress.played)
                with timers("evaluate"):
                    found = {
                        task: holdout(
                            model,
                            test_replay.batches(
                                updates,
                                schedule.test_batches,
                                config.batch_shape[0],
                                min(TEST_LENGTH, *map(_rows, specs)),
                                config.seed,
                                keys,
                                task,
                            ),
                            fold(config.seed, "holdout", updates),
                        )
                        for task in config.tasks
                    }
                    scores, curves = merged(found)
                    if schedule.pictures_due(updates):
                        pictures.log_test(log, counters, found, played)
                        if config.histograms:
                            pictures.log_histograms(log, counters, found, model)
                metrics |= _returns("test", played) | scores

            metrics |= timers.summary()
            metrics["time/total"] = seconds + time.time() - started
            log.scalars(counters, metrics, curves)
            due = False
            save()
            done = max(updates - first.updates, 1)
            pace = (time.time() - started) / done
            left = pace * (schedule.total_updates - updates)
            progress.note(**console.scores(metrics))
            progress.write(console.line(counters, metrics, left))


@contextlib.contextmanager
def without_cuda_complaints() -> Iterator[None]:
    """Hides what TensorFlow's C++ side prints where there is no NVIDIA GPU.

    It reports the missing driver as errors, and no log level hides them all.
    """
    if pathlib.Path("/dev/nvidiactl").exists():
        yield
        return
    shown = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)


def worker(config: Config, task: str) -> contextlib.AbstractContextManager:
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
    """Means over the updates since the last log, by `train/<name>`.

    Raises:
        FloatingPointError: The last updates had no finite gradient.
    """
    values = {
        name: np.array([float(loss[name]) for loss in losses])
        for name in losses[0]
    }
    applied = values["skipped"] == 0
    if not applied[-MAX_SKIPPED:].any():
        raise FloatingPointError(
            f"loss or gradient was not finite in the last "
            f"{len(applied[-MAX_SKIPPED:])} updates before update {updates}. "
            "The checkpoints are from before that. A lower "
            "--main_learning_rate or --main_gradient_clipping usually helps."
        )
    means = {f"train/{k}": float(v[applied].mean()) for k, v in values.items()}
    return {**means, "train/skipped": float(values["skipped"].sum())}


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


def _rows(spec: Spec) -> int:
    """Rows of an episode: one more than decisions."""
    return spec.episode_length + 1


@contextlib.contextmanager
def _saved_on_failure(save: Callable[[], None]) -> Iterator[None]:
    """Whatever ends a run, no update is lost; a second Ctrl-C ends at once."""
    try:
        yield
    except FloatingPointError:
        raise  # The last checkpoint is as good as these weights.
    except BaseException:
        with contextlib.suppress(OSError):  # Says less than the first error.
            save()
        raise


def prepare(config: Config, logdir: pathlib.Path, change: bool) -> None:
    """Checks that the run's folder holds the same run, or none.

    Raises:
        ValueError: It holds a run with another config, and `change` is False.
        OSError: The folder is not readable.
    """
    path = logdir / "config.yaml"
    if not path.exists():
        return
    differences = configs.differences(configs.load(path), config)
    if differences and not change:
        raise ValueError(
            f"{logdir} holds a run with another config:\n  "
            + "\n  ".join(differences)
            + "\nUse another --logdir, the same flags as before, or "
            "--allow_config_change to go on with the new values."
        )
    if differences:
        print("Changed:", *differences, sep="\n  ")


@contextlib.contextmanager
def _locked(logdir: pathlib.Path) -> Iterator[None]:
    """Keeps a second process out of the folder.

    Raises:
        OSError: Another process is using it, or it is not writable.
    """
    try:
        logdir.mkdir(parents=True, exist_ok=True)
        file = (logdir / ".lock").open("w")
    except OSError as error:
        raise OSError(
            f"--logdir={logdir}: cannot be used ({error.strerror}). Choose a "
            "folder that you may write to."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"Another process is training in {logdir}. Wait for it, stop "
                "it, or use another --logdir."
            ) from error
        yield


def main(argv: list[str]) -> None:
    """From the command line to `train`."""
    logging.set_verbosity(logging.WARNING)
    try:
        if len(argv) > 1:
            raise ValueError(f"Unknown arguments: {' '.join(argv[1:])}")
        config = configs.config_from_flags()
        logdir = pathlib.Path(
            flags.FLAGS.logdir or _default_logdir(config)
        ).expanduser()
        with contextlib.ExitStack() as stack:
            stack.enter_context(_locked(logdir))
            prepare(config, logdir, flags.FLAGS.allow_config_change)
            keep = stack.pop_all()  # The lock outlives these checks.
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    how_to_look = (
        f"Results: {logdir.absolute()}\nTo look at them: "
        f"{sys.executable} -m tensorboard.main --logdir={logdir.absolute()}"
    )
    print(how_to_look, flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with keep:
            rendering.choose_backend()
            train(config, logdir)
    except KeyboardInterrupt:
        print("Stopped. The same command continues this run.\n" + how_to_look)
        sys.exit(130)
    except Exception as error:
        with contextlib.suppress(OSError):
            (logdir / "error.txt").write_text(traceback.format_exc())
        print(
            f"{error}\nDetails are in {logdir}/error.txt. Once the cause is "
            "gone, the same command continues this run.",
            file=sys.stderr,
        )
        sys.exit(1)
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
    try:
        app.run(main)
    except KeyboardInterrupt:  # Before there was anything to save.
        sys.exit(130)
