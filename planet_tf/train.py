"""Trains PlaNet: `python -m planet_tf.train --task=cup_catch`. Read this first.

    flags -> Config -> parts -> the loop

The loop is the paper's algorithm 1: gradient steps on recorded episodes, then
one more episode played with the planner, and so on. What is due after which
gradient step follows the original's trainer (`training/schedule.py`).

Everything is kept in `--logdir`; the same command continues a run that was
stopped. TensorFlow is imported inside `train` alone, so that flag errors come
at once and the spawned processes of the environments stay free of it.

Exit status: 0 when all is done; 1 after an error on the way; 2 for input that
cannot work, and nothing was written; 75 if another process uses the folder;
130 and 143 if stopped by Ctrl-C or SIGTERM. After 1, 75, 130 and 143, the same
command goes on.
"""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Iterable, Iterator

import numpy as np
from absl import flags, logging

from planet_tf import command, config_flags, machine, run_folder, totals, worlds
from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control.episode_source import EpisodeSource
from planet_tf.control.episodes import RandomActions
from planet_tf.control.make import choose_backend_for
from planet_tf.control.tasks import get_task, label
from planet_tf.tools.files import expanded
from planet_tf.tools.interrupts import stop_in_order, undisturbed
from planet_tf.tools.progress import Progress, Timers
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.replay import KEYS, Replay, row_shapes
from planet_tf.tools.seeding import fold

IN_USE = os.EX_TEMPFAIL  # Exit status, 75: another process is training there.


def train(config: Config, logdir: pathlib.Path) -> None:
    """Runs, or continues, a run until its last update.

    Raises:
        FloatingPointError: Loss or gradient stopped being finite.
        KeyboardInterrupt: Of the signal handler; there is a checkpoint.
        OSError: The disk is full, or not writable.
        ConfigError: The worlds are not such as `config` needs.
        ValueError: What `logdir` holds does not fit `config`.
        WorkerError: An environment failed; there is a checkpoint.
    """
    with without_cuda_complaints():
        import tensorflow as tf

        from planet_tf import build, console, dashboard
        from planet_tf.players import Players, scores
        from planet_tf.tester import Tester
        from planet_tf.tools import devices
        from planet_tf.tools.summaries import Logger
        from planet_tf.training.checkpoint import Checkpoint, Position, Saver
        from planet_tf.training.guards import SkippedUpdates, memory_for

        devices.prepare()
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)
    started = time.time()
    timers = Timers()
    with contextlib.ExitStack() as stack:
        # Before the worlds: closing them ends what is played beside updates.
        beside = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(1, "worlds")
        )
        workers = worlds.start(config, stack)
        specs = [worker.spec for worker, *_ in workers.values()]
        action_dim = max(spec.action_dim for spec in specs)

        # The model, what trains it, and the agents that plan in it.
        sizes = (config, action_dim, specs[0].observations)
        acting = None
        with memory_for("the model", "model_size", "num_units", "conv_depth"):
            model = build.world_model(*sizes)
            learner = build.learner(config, model)
            if config.collect_while_training:
                acting = build.world_model(*sizes)
        keys = (*KEYS, *model.diagnostics)
        agents = dict.fromkeys(
            ("train", "test"), build.agents(config, model, action_dim)
        )
        if acting:
            agents["train"] = build.agents(config, acting, action_dim)

        # Where the run stands, what was recorded so far, and what is due when.
        checkpoint = Checkpoint(
            logdir / "checkpoints", model, learner.optimizer, acting=acting
        )
        first = checkpoint.restore() or Position()
        updates, losses, best = first.updates, [*first.losses], first.best_score
        replay, test_replay = (
            Replay(
                logdir / f"{split}_episodes",
                end,
                workers,
                on_disk=config.replay_storage == "disk",
                rows=row_shapes(*sizes[1:], keys),
            )
            for split, end in (
                ("train", first.train_episodes),
                ("test", first.test_episodes),
            )
        )
        unusable = replay.skipped + test_replay.skipped
        schedule = totals.schedule(config)

        configs.save(config, logdir / "config.yaml")
        machine.record(logdir / "machine.jsonl", updates, devices.gpu_names())
        log = stack.enter_context(Logger(logdir, updates - len(losses)))
        dashboard.introduce(log, config, logdir.absolute().name)
        progress = stack.enter_context(
            Progress(schedule.total_updates, updates)
        )
        progress.write(
            console.introduction(
                config,
                schedule,
                model,
                workers,
                updates,
                updates - len(losses) >= schedule.total_updates,
                unusable,
            )
        )

        # Who plays, into which replay.
        sources = {
            split: EpisodeSource(split, workers, into, config.seed, timers)
            for split, into in (("train", replay), ("test", test_replay))
        }
        players = {
            split: Players(
                config.collectors(split),
                agents[split],
                sources[split],
                schedule,
                progress,
            )
            for split in sources
        }
        tester = Tester(
            config,
            schedule,
            model,
            players["test"],
            test_replay,
            list(workers),
            log,
            timers,
        )
        random = RandomActions(action_dim, config.seed_action_correlation)
        for split, source in sources.items():
            total = config.seed_episodes(split)
            for task in source.missing(total):
                [played] = source.play_task(task, random, progress.played, 1)
                source.record()
                number = source.recorded(task)
                progress.note()
                progress.write(
                    console.seed_line(split, task, played, number, total)
                )
        if model.background is not None and first.train_episodes is None:
            # Deviates from planet: optional; its networks have to learn the
            # background first; effect on return: none when off.
            model.background.assign(replay.mean_image(config.image_bits))
        timers.summary()  # What comes next is counted from here.
        paced = None  # Time and updates at the first line.

        skipped = SkippedUpdates(
            lambda update: replay.chunks(
                update, *config.batch_shape, config.seed
            ),
            updates,
        )

        # Until a round is over, a checkpoint points into its updates.
        recorded = (replay.next_index, test_replay.next_index)

        def position() -> Position | None:
            skipped.check(updates, losses)
            if skipped.in_a_row:
                return None
            values = [{k: float(v) for k, v in x.items()} for x in losses]
            passed = first.seconds + time.time() - started
            return Position(updates, passed, values, *recorded, best)

        saver = stack.enter_context(Saver(checkpoint, position))
        if first.train_episodes is None:
            saver.save()
        # Here, because an update is not interrupted, and this takes seconds.
        with memory_for("a batch", "batch_shape"):
            learner.trace(
                next(replay.batches(0, 1, *config.batch_shape, 0, keys))
            )
        # Each turn is a round. What a resumed run has done of it is in
        # `losses`.
        while (start := updates - len(losses)) < schedule.total_updates:
            stop = schedule.next_stop(start)
            collect = functools.partial(
                players["train"].play, stop, schedule.collect_due(stop)
            )
            if acting:
                # Deviates from planet: the weights of these episodes are a
                # round older; effect on return: unmeasured. They are a copy,
                # so that nothing depends on which of both is faster.
                if not losses:
                    acting.set_weights(model.get_weights())
                collect = beside.submit(collect).result
            batches = replay.batches(
                updates, stop - updates, *config.batch_shape, config.seed, keys
            )
            for batch in _waiting(batches, timers):
                with (
                    timers("update"),
                    memory_for("an update", "batch_shape"),
                    undisturbed(),
                ):
                    noise = tf.constant(fold(config.seed, "update", updates))
                    losses.append(learner.update(batch, noise))
                    updates += 1
                    # Not at each, because an accelerator runs behind.
                    if updates % 10 == 0 or updates == stop:
                        skipped.check(updates, losses)
                progress.advance(losses[-1], timers)
                saver.save_if_due()
            metrics, curves = _mean(losses) | scores(collect()), {}
            players["train"].record()
            counters = {"updates": updates, **_steps(config, replay)}
            counters["skipped_episodes"] = unusable
            if schedule.test_due(updates):
                found, curves = tester.test(counters)
                metrics |= found
            metrics |= timers.summary()
            metrics["time/total"] = first.seconds + time.time() - started
            with undisturbed():
                log.scalars(counters, metrics, curves)
                losses = []
                recorded = (replay.next_index, test_replay.next_index)
                score = metrics.get("test/score", np.nan)
                if score >= best and not skipped.in_a_row:
                    best = score
                    saver.save(best=True)
                saver.save()
            paced = paced or (time.time(), updates)
            left = None
            if updates > paced[1]:  # The first round has the start-up in it.
                pace = (time.time() - paced[0]) / (updates - paced[1])
                left = pace * (schedule.total_updates - updates)
            progress.note(**console.scores(metrics))
            progress.write(console.line(counters, metrics, left))
        skipped.end()


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
    """Means over the updates since the last log, by `train/<name>`.

    The updates before a changed config may have had other terms.
    """
    applied = [loss for loss in losses if not loss["skipped"]]
    names = dict.fromkeys(name for loss in losses for name in loss)
    means = {}
    for name in names:
        values = [float(loss[name]) for loss in applied if name in loss]
        means[f"train/{name}"] = np.mean(values) if values else np.nan
    return {**means, "train/skipped": float(len(losses) - len(applied))}


def _steps(config: Config, replay: Replay) -> dict[str, int]:
    """Episodes, decisions and simulator steps in the training data.

    With several tasks, the last of each as well.
    """
    steps = {task: replay.agent_steps(label(task)) for task in config.tasks}
    repeats = {
        task: config.action_repeat or get_task(task).action_repeat
        for task in config.tasks
    }
    env_steps = {task: steps[task] * repeats[task] for task in steps}
    counters = {
        "episodes": replay.episodes,
        "agent_steps": sum(steps.values()),
        "env_steps": sum(env_steps.values()),
    }
    if len(env_steps) > 1:
        counters |= {
            f"env_steps_{label(task)}": count
            for task, count in env_steps.items()
        }
    return counters


def main() -> None:
    """From the command line to `train`."""
    logging.set_verbosity(logging.WARNING)
    try:
        config = config_flags.read()
        worlds.try_unknown(config)
        logdir = expanded(flags.FLAGS.logdir or _default_logdir(config))
        # Before the lock, which is the first file that is written.
        run_folder.prepare(config, logdir, flags.FLAGS.allow_config_change)
        choose_backend_for(config.tasks)
        keep = contextlib.ExitStack()
        keep.enter_context(run_folder.locked(logdir))
    except (OSError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(IN_USE if isinstance(error, BlockingIOError) else 2)
    how_to_look = (
        f"Results: {logdir.absolute()}\nTo look at them: "
        f"{sys.executable} -m tensorboard.main --logdir={logdir.absolute()}"
    )
    print(how_to_look, flush=True)
    stop_in_order()
    try:
        with keep:
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


def _default_logdir(config: Config) -> str:
    tasks = map(label, config.tasks)
    name = "-".join([*tasks, flags.FLAGS.config, f"seed{config.seed}"])
    return f"~/planet_tf/{name}"


def define_flags() -> None:
    """The flags of this command; those of a Config among them."""
    config_flags.define()
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
    command.run(main)
