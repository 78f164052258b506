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
import pathlib
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator

import numpy as np
from absl import app, flags, logging

from planet_tf import __version__, totals
from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control.check_env import spec_problem
from planet_tf.control.collector import Collector
from planet_tf.control.environments import (
    Spec,
    choose_backend_for,
    make_environment,
)
from planet_tf.control.episodes import Episode, RandomActions, episode_return
from planet_tf.control.tasks import SUITE, get_task, label
from planet_tf.control.workers import Worker, WorkerError
from planet_tf.tools.files import undisturbed
from planet_tf.tools.progress import Progress, Timers
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.replay import KEYS, Replay
from planet_tf.tools.seeding import fold
from planet_tf.training.schedule import noise_scale
from planet_tf.validation import check_length

TEST_LENGTH = 50  # Frames of a held-out sequence: 5 seen, 45 predicted.


def train(config: Config, logdir: pathlib.Path) -> None:
    """Runs, or continues, a run until its last update.

    Raises:
        FloatingPointError: Loss or gradient stopped being finite.
        KeyboardInterrupt: Of the signal handler; a checkpoint was written.
        OSError: The disk is full, or not writable.
        ConfigError: The worlds are not such as `config` needs.
        ValueError: What `logdir` holds does not fit `config`.
        WorkerError: An environment failed; a checkpoint was written.
    """
    with without_cuda_complaints():
        import tensorflow as tf

        from planet_tf import build, console, dashboard, pictures
        from planet_tf.tools import devices
        from planet_tf.tools.summaries import Logger
        from planet_tf.training.checkpoint import Checkpoint, Position, Saver
        from planet_tf.training.evaluation import holdout, merged
        from planet_tf.training.guards import SkippedUpdates, memory_for
        from planet_tf.training.learner import Learner

        devices.prepare()
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)
    started = time.time()
    timers = Timers()
    with contextlib.ExitStack() as stack:
        # The worlds, as many as are ever played side by side.
        collects = {x: config.collectors(x) for x in ("train", "test")}
        everyone = [*collects["train"].values(), *collects["test"].values()]
        side_by_side = max(collect.batch_size for collect in everyone)
        workers = {
            label(task): [
                stack.enter_context(worker(config, task))
                for _ in range(side_by_side)
            ]
            for task in config.tasks
        }

        # The model, what trains it, and the agent that plans in it.
        specs = [worker.spec for worker, *_ in workers.values()]
        action_dim = max(spec.action_dim for spec in specs)
        build.check_worlds(config, dict(zip(workers, specs, strict=True)))
        model = build.world_model(config, action_dim, specs[0].observations)
        keys = (*KEYS, *model.diagnostics)
        learner = Learner(
            model, config.main_learning_rate, config.main_gradient_clipping
        )

        # Where the run stands, what was recorded so far, and what is due when.
        checkpoint = Checkpoint(
            logdir / "checkpoints", model, learner.optimizer
        )
        first = checkpoint.restore() or Position()
        updates, losses, best = first.updates, [*first.losses], first.best_score
        replay, test_replay = (
            Replay(
                logdir / f"{split}_episodes",
                end,
                workers,
                on_disk=config.replay_storage == "disk",
            )
            for split, end in (
                ("train", first.train_episodes),
                ("test", first.test_episodes),
            )
        )
        schedule = totals.schedule(config)

        # Who plays, into which replay, with which agent.
        collectors = {
            split: Collector(split, workers, into, config.seed, timers)
            for split, into in (("train", replay), ("test", test_replay))
        }
        # Collectors that plan alike share an agent, which is compiled once.
        agents = {
            collect.planner: build.agent(config, model, action_dim, collect)
            for collect in everyone
        }

        def play(split: str, name: str) -> dict[str, list[Episode]]:
            """Episodes of every task, played by a collector."""
            collect = collects[split][name]
            agent = agents[collect.planner]
            agent.action_noise = collect.action_noise * noise_scale(
                schedule.collect_step(updates),
                collect.action_noise_ramp,
                collect.action_noise_min,
            )
            with memory_for("planning", "planner_amount", "planner_horizon"):
                return collectors[split].play(
                    agent, progress.played, collect.batch_size
                )

        def test(counters: dict[str, int]) -> tuple[dict, dict]:
            """Scalars and curves of test episodes and held-out sequences."""
            metrics, shown = {}, schedule.pictures_due(updates)
            # Deviates from planet: every collector plays once, however many
            # batches `test_steps` asks for.
            for name in collects["test"]:
                played = play("test", name)
                metrics |= _returns(name, played)
                if shown:
                    pictures.log_episodes(log, counters, name, played)
            with timers("evaluate"), memory_for("a test", "batch_shape"):
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
                    for task in workers
                }
                scores, curves = merged(found)
                if shown:
                    pictures.log_predictions(log, counters, found)
                if shown and config.histograms:
                    pictures.log_histograms(log, counters, found, model)
            return metrics | scores, curves

        configs.save(config, logdir / "config.yaml")
        log = stack.enter_context(Logger(logdir, updates - len(losses)))
        dashboard.introduce(log, config, logdir.absolute().name)
        progress = stack.enter_context(
            Progress(schedule.total_updates, updates)
        )
        progress.write(
            console.introduction(config, schedule, model, workers, updates)
        )

        random = RandomActions(action_dim, config.seed_action_correlation)
        for split, source in collectors.items():
            for task in source.missing(config.num_seed_episodes):
                played = source.play_task(task, random, progress.played, 1)
                progress.write(console.seed_line(split, task, played))
        timers.summary()  # What comes next is counted from here.
        began = time.time()

        # Until a round is over, a checkpoint points into its updates.
        recorded = (replay.next_index, test_replay.next_index)

        def position() -> Position:
            values = [{k: float(v) for k, v in x.items()} for x in losses]
            passed = first.seconds + time.time() - started
            return Position(updates, passed, values, *recorded, best)

        saver = stack.enter_context(Saver(checkpoint, position))
        if first.train_episodes is None:
            saver.save()
        skipped = SkippedUpdates(
            lambda update: replay.chunks(
                update, *config.batch_shape, config.seed
            )
        )
        # Each turn is a round. What a resumed run has done of it is in
        # `losses`.
        while (start := updates - len(losses)) < schedule.total_updates:
            stop = schedule.next_stop(start)
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
                with (
                    timers("update"),
                    memory_for("an update", "batch_shape"),
                    undisturbed(),
                ):
                    noise = tf.constant(fold(config.seed, "update", updates))
                    losses.append(learner.update(batch, noise))
                    updates += 1
                    if updates == stop:  # An accelerator runs behind.
                        losses[-1]["loss"].numpy()
                progress.advance(losses[-1], timers)
                saver.save_if_due()
            skipped.check(updates, losses)
            metrics, curves = _mean(losses), {}

            for name in schedule.collect_due(updates):
                metrics |= _returns(name, play("train", name))

            counters = {"updates": updates, **_steps(config, replay)}
            if schedule.test_due(updates):
                scores, curves = test(counters)
                metrics |= scores

            metrics |= timers.summary()
            metrics["time/total"] = first.seconds + time.time() - started
            with undisturbed():
                log.scalars(counters, metrics, curves)
                losses = []
                recorded = (replay.next_index, test_replay.next_index)
                if schedule.test_due(updates) and metrics["test/score"] >= best:
                    best = metrics["test/score"]
                    checkpoint.save(position(), best=True)
                saver.save()
            done = max(updates - first.updates, 1)
            pace = (time.time() - began) / done
            left = pace * (schedule.total_updates - updates)
            progress.note(**console.scores(metrics))
            progress.write(console.line(counters, metrics, left))


def worker(config: Config, task: str) -> contextlib.AbstractContextManager:
    """The world of a task in its own process, closed at the end."""
    constructor = functools.partial(
        make_environment,
        task,
        render_quality=config.render_quality,
        action_repeat=config.action_repeat or None,
        camera=config.camera_id,
        # Chunks to train on and held-out sequences have to fit in.
        min_decisions=max(config.batch_shape[1], TEST_LENGTH) - 1,
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


def _mean(losses: list[dict]) -> dict[str, float]:
    """Means over the updates since the last log, by `train/<name>`."""
    values = {
        name: np.array([float(loss[name]) for loss in losses])
        for name in losses[0]
    }
    applied = values["skipped"] == 0
    means = {
        f"train/{name}": value[applied].mean() if applied.any() else np.nan
        for name, value in values.items()
    }
    return {**means, "train/skipped": float(values["skipped"].sum())}


def _returns(name: str, played: dict[str, list[Episode]]) -> dict[str, float]:
    """Mean returns by task, and their mean, the original's `score`."""
    returns = {
        task: float(np.mean([episode_return(episode) for episode in episodes]))
        for task, episodes in played.items()
    }
    scores = {f"{name}/return_{task}": x for task, x in returns.items()}
    return {**scores, f"{name}/score": float(np.mean(list(returns.values())))}


def _steps(config: Config, replay: Replay) -> dict[str, int]:
    """Episodes, decisions and simulator steps in the training data."""
    steps = {task: replay.agent_steps(label(task)) for task in config.tasks}
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
    version = configs.written_by(path)
    if version != __version__:
        differences.append(f"version of planet_tf: {version} -> {__version__}")
    if differences and not change:
        raise ValueError(
            f"{logdir} holds a run with another config:\n  "
            + "\n  ".join(differences)
            + "\nUse another --logdir, the same flags as before, or "
            "--allow_config_change to go on with the new values."
        )
    if differences:
        print("Changed:", *differences, sep="\n  ")


def _try_worlds(config: Config) -> None:
    """Makes the worlds of which nothing is known beforehand, once.

    Raises:
        ValueError: One cannot be made, or cannot be trained on; one line.
    """
    for task in config.tasks:
        if get_task(task).domain in SUITE:
            continue
        try:
            with worker(config, task) as world:
                spec = world.spec
        except WorkerError as error:
            # The last exception of the traceback, to the end of its message.
            *_, reason = re.split(r"\n(?=[\w.]*Error: )", str(error).strip())
            raise ValueError(f"--task={task}: {reason}") from error
        if problem := spec_problem(spec):
            raise ValueError(f"--task={task}: {problem}")
        check_length(config, task, spec.episode_length)


@contextlib.contextmanager
def _locked(logdir: pathlib.Path) -> Iterator[None]:
    """Keeps a second process out of the folder.

    A run that is refused after all, by a `ConfigError`, leaves nothing behind.

    Raises:
        OSError: Another process is using it, or it is not writable.
    """
    made = [x for x in (logdir, *logdir.parents) if not x.exists()]
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
        try:
            yield
        except configs.ConfigError:
            with contextlib.suppress(OSError):
                (logdir / ".lock").unlink()
                for folder in made:
                    folder.rmdir()
            raise


def main(argv: list[str]) -> None:
    """From the command line to `train`."""
    logging.set_verbosity(logging.WARNING)
    try:
        if len(argv) > 1:
            raise ValueError(f"Unknown arguments: {' '.join(argv[1:])}")
        config = configs.config_from_flags()
        _try_worlds(config)
        logdir = pathlib.Path(
            flags.FLAGS.logdir or _default_logdir(config)
        ).expanduser()
        # Before the lock, which is the first file that is written.
        prepare(config, logdir, flags.FLAGS.allow_config_change)
        keep = contextlib.ExitStack()
        keep.enter_context(_locked(logdir))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    how_to_look = (
        f"Results: {logdir.absolute()}\nTo look at them: "
        f"{sys.executable} -m tensorboard.main --logdir={logdir.absolute()}"
    )
    print(how_to_look, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Background jobs of a shell start with Ctrl-C ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        with keep:
            choose_backend_for(config.tasks)
            train(config, logdir)
    except KeyboardInterrupt as error:
        print("Stopped. The same command continues this run.\n" + how_to_look)
        sys.exit(128 + error.args[0])
    except configs.ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
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


def _stop(number: int, _: object) -> None:
    """Ends a run in order; a second Ctrl-C ends it at once."""
    # `timeout` and schedulers may send theirs twice.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt(number)


def _default_logdir(config: Config) -> str:
    tasks = map(label, config.tasks)
    name = "-".join([*tasks, flags.FLAGS.config, f"seed{config.seed}"])
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
        app.run(main, flags_parser=configs.parse_flags)
    except KeyboardInterrupt:  # Before there was anything to save.
        sys.exit(130)
