"""The training loop: the paper's algorithm 1.

Gradient steps on recorded episodes, then one more episode played with the
planner, and so on. What is due after which gradient step follows the original's
trainer (`schedule.py`).
"""

import concurrent.futures
import contextlib
import functools
import pathlib
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from planet_tf import (
    build,
    console,
    dashboard,
    machine,
    totals,
    worlds,
)
from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control.episode_source import EpisodeSource
from planet_tf.control.episodes import RandomActions
from planet_tf.control.mpc_agent import MPCAgent
from planet_tf.control.tasks import get_task, label
from planet_tf.models.world_model import WorldModel
from planet_tf.players import Players, scores
from planet_tf.tester import Tester
from planet_tf.tools import devices
from planet_tf.tools.interrupts import undisturbed
from planet_tf.tools.progress import Pace, Progress, Timers
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.replay import KEYS, Replay, row_shapes
from planet_tf.tools.seeding import fold
from planet_tf.tools.summaries import Logger
from planet_tf.training.checkpoint import Checkpoint, Position, Saver
from planet_tf.training.guards import SkippedUpdates, memory_for
from planet_tf.training.learner import Learner
from planet_tf.training.rounds import Round


class Parts(NamedTuple):
    """What learns and what acts."""

    model: WorldModel
    learner: Learner
    acting: WorldModel | None  # Plays beside updates, if asked for.
    agents: dict[str, dict[tuple, MPCAgent]]  # By split, see `build.agents`.


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
    started, timers = time.time(), Timers()
    with without_cuda_complaints():
        devices.prepare()
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(config.seed)
    with contextlib.ExitStack() as stack:
        # Before the worlds: closing them ends what is played beside updates.
        beside = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(1, "worlds")
        )
        workers = worlds.start(config, stack)
        specs = [worker.spec for worker, *_ in workers.values()]
        sizes = (max(spec.action_dim for spec in specs), specs[0].observations)
        model, learner, acting, agents = _parts(config, *sizes)
        keys = (*KEYS, *model.diagnostics)

        # Where the run stands, what was recorded so far, and what is due when.
        checkpoint = Checkpoint(
            logdir / "checkpoints", model, learner.optimizer, acting=acting
        )
        first = checkpoint.restore() or Position()
        replay, test_replay = (
            Replay(
                logdir / f"{split}_episodes",
                end,
                workers,
                on_disk=config.replay_storage == "disk",
                rows=row_shapes(*sizes, keys),
            )
            for split, end in (
                ("train", first.train_episodes),
                ("test", first.test_episodes),
            )
        )
        unusable = replay.skipped + test_replay.skipped
        schedule = totals.schedule(config)

        configs.save(config, logdir / "config.yaml")
        machine.record(
            logdir / "machine.jsonl", first.updates, devices.gpu_names()
        )
        log = stack.enter_context(Logger(logdir, first.start))
        dashboard.introduce(log, config, logdir.absolute().name)
        progress = stack.enter_context(
            Progress(schedule.total_updates, first.updates)
        )
        progress.write(
            console.introduction(
                config,
                schedule,
                model,
                workers,
                first.updates,
                first.start >= schedule.total_updates,
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
                source,
                schedule,
                progress,
            )
            for split, source in sources.items()
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
        for split, source in sources.items():
            _play_seed_episodes(config, split, source, sizes[0], progress)
        if model.background is not None and first.train_episodes is None:
            # Deviates from planet: optional; its networks have to learn the
            # background first; effect on return: none when off.
            model.background.assign(replay.mean_image(config.image_bits))
        timers.summary()  # What comes next is counted from here.

        now, pace = Round(first, started, (replay, test_replay)), Pace()
        skipped = SkippedUpdates(
            lambda update: replay.chunks(
                update, *config.batch_shape, config.seed
            ),
            now.updates,
        )

        def position() -> Position | None:
            skipped.check(now.updates, now.losses)
            return None if skipped.in_a_row else now.position

        saver = stack.enter_context(Saver(checkpoint, position))
        if first.train_episodes is None:
            saver.save()
        # Here, because an update is not interrupted, and this takes seconds.
        with memory_for("a batch", "batch_shape"):
            learner.trace(
                next(replay.batches(0, 1, *config.batch_shape, 0, keys))
            )
        while now.start < schedule.total_updates:
            stop = schedule.next_stop(now.start)
            collect = functools.partial(
                players["train"].play, stop, schedule.collect_due(stop)
            )
            if acting:
                # Deviates from planet: the weights of these episodes are a
                # round older; effect on return: unmeasured. They are a copy,
                # so that nothing depends on which of both is faster.
                if not now.losses:
                    acting.set_weights(model.get_weights())
                collect = beside.submit(collect).result
            batches = replay.batches(
                now.updates,
                stop - now.updates,
                *config.batch_shape,
                config.seed,
                keys,
            )
            for batch in _waiting(batches, timers):
                with (
                    timers("update"),
                    memory_for("an update", "batch_shape"),
                    undisturbed(),
                ):
                    seed = fold(config.seed, "update", now.updates)
                    now.add(learner.update(batch, tf.constant(seed)))
                    # Not at each, because an accelerator runs behind.
                    if now.updates % 10 == 0 or now.updates == stop:
                        skipped.check(now.updates, now.losses)
                progress.advance(now.losses[-1], timers)
                saver.save_if_due()
            metrics, curves = _mean(now.losses) | scores(collect()), {}
            players["train"].record()
            counters = {"updates": now.updates, **_steps(config, replay)}
            counters["skipped_episodes"] = unusable
            if schedule.test_due(now.updates):
                found, curves = tester.test(counters)
                metrics |= found
            metrics |= timers.summary()
            metrics["time/total"] = now.seconds
            with undisturbed():
                log.scalars(counters, metrics, curves)
                now.end()
                score = metrics.get("test/score", np.nan)
                if score >= now.best and not skipped.in_a_row:
                    now.best = score
                    saver.save(best=True)
                saver.save()
            left = pace.left(now.updates, schedule.total_updates)
            progress.note(**console.scores(metrics))
            progress.write(console.line(counters, metrics, left))
        skipped.end()


def _parts(
    config: Config, action_dim: int, observations: dict[str, tuple[int, ...]]
) -> Parts:
    """The model, what trains it, and the agents that plan in it."""
    acting = None
    with memory_for("the model", "model_size", "num_units", "conv_depth"):
        model = build.world_model(config, action_dim, observations)
        learner = build.learner(config, model)
        if config.collect_while_training:
            acting = build.world_model(config, action_dim, observations)
    agents = dict.fromkeys(
        ("train", "test"), build.agents(config, model, action_dim)
    )
    if acting:
        agents["train"] = build.agents(config, acting, action_dim)
    return Parts(model, learner, acting, agents)


def _play_seed_episodes(
    config: Config,
    split: str,
    source: EpisodeSource,
    action_dim: int,
    progress: Progress,
) -> None:
    """Random actions, until there are as many episodes as asked for."""
    random = RandomActions(action_dim, config.seed_action_correlation)
    total = config.seed_episodes(split)
    for task in source.missing(total):
        [played] = source.play_task(task, random, progress.played, 1)
        source.record()
        progress.note()
        progress.write(
            console.seed_line(split, task, played, source.recorded(task), total)
        )


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
