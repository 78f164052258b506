"""What `train` says in the terminal, line by line."""

import pathlib
import time

import tensorflow as tf

from planet_tf import hardware, totals
from planet_tf.config import Config
from planet_tf.control.episodes import Episode, episode_return
from planet_tf.control.workers import Worker
from planet_tf.models.world_model import WorldModel
from planet_tf.tools.devices import in_branches
from planet_tf.tools.replay import size_when_full
from planet_tf.training.schedule import Schedule

_COLUMNS = {
    "train/score": "return {:.0f}",
    "test/score": "TEST RETURN {:.0f}",
    "train/image": "image {:.1f}",
    "train/reward": "reward {:.3f}",
    "train/kl": "kl {:.1f}",
    "time/update_rate": "{:.2f} updates/s",
    "time/plan_rate": "{:.1f} plans/s",
}
_TIMERS = ("update", "plan", "simulate", "wait", "evaluate")


def introduction(
    config: Config,
    schedule: Schedule,
    model: WorldModel,
    workers: dict[str, list[Worker]],
    updates: int,
    complete: bool,
    unusable: int,
) -> str:
    """What is about to run, on what, and what it will take.

    Args:
        config: The run's.
        schedule: The run's.
        model: The run's.
        workers: Its worlds, by task.
        updates: Done so far.
        complete: Nothing is left to do.
        unusable: Episode files that were skipped.
    """
    lines = []
    for task, (worker, *_) in workers.items():
        spec = worker.spec
        lines.append(
            f"{task}: {spec.episode_length} decisions an episode, "
            f"{spec.action_dim} action dimensions"
        )
    parameters = sum(v.shape.num_elements() for v in model.trainable_variables)
    gpus = tf.config.list_physical_devices("GPU")
    device = (
        f"{len(gpus)} GPU(s)" if gpus else "the CPU; TensorFlow sees no GPU"
    )
    lines.append(f"Model: {parameters:,} parameters, on {device}")
    if (
        config.precision == "bfloat16"
        and not gpus
        and not hardware.computes_bfloat16(
            pathlib.Path("/proc/cpuinfo").read_text()
        )
    ):
        lines.append(
            "Warning: this CPU has no instructions for bfloat16 (AVX512-BF16 "
            "or AMX): --precision=float32 is faster"
        )
    specs = [worker.spec for worker, *_ in workers.values()]
    played, held_out = totals.episodes(config)
    # Every task has as many episodes.
    length = sum(spec.episode_length for spec in specs) / len(specs)
    where = {"memory": "in memory", "disk": "on disk"}[config.replay_storage]
    lines.append(
        f"Run: {schedule.total_updates:,} updates and {played:,} episodes, "
        f"and {held_out:,} to test on; images {where} at its end: "
        f"{size_when_full(played + held_out, length) / 2**30:.2f} GiB"
    )
    if not gpus and config.model != "ssm":  # Whose arithmetic is not counted.
        action_dim = max(spec.action_dim for spec in specs)
        hours = _cpu_hours(config, schedule, action_dim, length)
        hours *= 1 - updates / schedule.total_updates
        hint = " (--config=cpu is made for this machine)" if hours > 24 else ""
        if hours > 0.1:
            lines.append(f"Takes more than {hours:.1f} hours on this CPU{hint}")
    lines += [
        f"Warning: collector {name} never plays in these updates, see "
        "--collect_every and --train_collects"
        for name, count in totals.collected(config).items()
        if not count
    ]
    if unusable:
        lines.append(
            f"Without {unusable} episode file(s) that cannot be used, see above"
        )
    if updates:
        lines.append(f"Continuing after update {updates:,}")
    if complete:
        lines.append(
            "It is complete; a higher --max_steps with --allow_config_change "
            "goes on with it"
        )
    return "\n".join(lines)


def seed_line(
    split: str, task: str, episode: Episode, number: int, total: int
) -> str:
    """One line for a seed episode, the `number`th of `total` of its task."""
    return (
        f"{split} seed episode {number} of {total}, return: {task} "
        f"{episode_return(episode):.0f}"
    )


def scores(metrics: dict[str, float]) -> dict[str, float]:
    """The returns among the metrics, for the progress bar."""
    names = ("train/score", "test/score")
    return {name: metrics[name] for name in names if name in metrics}


def line(
    counters: dict[str, int], metrics: dict[str, float], left: float | None
) -> str:
    """One line for the updates and the episode since the last line.

    Args:
        counters: How far the run is.
        metrics: What was logged.
        left: Estimated seconds until the end of the run, if known.
    """
    parts = [
        "episode {episodes}  update {updates}  env step {env_steps}".format(
            **counters
        )
    ]
    parts += [  # Of collectors with names, as in `train_wild/score`.
        f"{name.removesuffix('/score')} return {value:.0f}"
        + _by_task(metrics, name)
        for name, value in metrics.items()
        if name.endswith("/score") and name not in _COLUMNS
    ]
    parts += [
        text.format(metrics[name]) + _by_task(metrics, name)
        for name, text in _COLUMNS.items()
        if name in metrics
    ]
    shares = [
        f"{name} {metrics[f'time/{name}_share']:.0%}"
        for name in _TIMERS
        if f"time/{name}_share" in metrics
    ]
    parts.append(f"[{', '.join(shares)}]")
    if left is not None:
        hours, minutes = divmod(round(left / 60), 60)
        parts.append(f"{hours}:{minutes:02} h left")
    return "  ".join(parts)


def _by_task(metrics: dict[str, float], name: str) -> str:
    """What a mean over tasks was made of, if there are several."""
    prefix = name.removesuffix("score") + "return_"
    found = {k: v for k, v in metrics.items() if k.startswith(prefix)}
    if not name.endswith("/score") or len(found) < 2:
        return ""
    parts = [f"{k.removeprefix(prefix)} {v:.0f}" for k, v in found.items()]
    return f" ({', '.join(parts)})"


def _cpu_hours(
    config: Config, schedule: Schedule, action_dim: int, length: float
) -> float:
    """A lower limit, from this machine's speed at a large matrix product."""
    size = 2048
    a = tf.cast(tf.random.normal([size, size]), config.precision)
    # With all cores, as updates are computed.
    product = tf.function(
        lambda x: in_branches(lambda rows: tf.matmul(rows, x), x)
    )
    product(a)
    start = time.perf_counter()
    product(a).numpy()
    rate = 2 * size**3 / (time.perf_counter() - start)
    total = schedule.total_updates * totals.update_flops(config, action_dim)
    for name, episodes in totals.collected(config).items():
        collect = config.collectors("train")[name]
        plan = totals.plan_flops(config, action_dim, collect)
        total += episodes * length * plan
    return total / rate / 3600
