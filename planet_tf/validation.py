"""Values of a Config that cannot work, found before anything starts."""

import re
from typing import Any

from planet_tf.config import Config
from planet_tf.control.tasks import EPISODE_FRAMES, SUITE, cameras, get_task
from planet_tf.tools import parameters
from planet_tf.training.schedule import CONTEXT

_FRAMES = 1_000_000  # In a batch; 12 GB. The paper's has 2,500.

# Options of one kind of model alone, beside those that begin with its name.
_ONLY = {"model_layers": "rssm", "future_rnn": "rssm"}


def validate(config: Config) -> None:
    """Raises ValueError for any value that cannot work.

    The message names the flag, its value, and what would be valid.
    """
    parameters.check(config, "--")
    batch, length = config.batch_shape
    _require(
        batch >= 1 and length >= 2,
        f"--batch_shape={batch},{length}: needs at least 1 chunk of 2 rows",
    )
    _require(
        batch * length <= _FRAMES,
        f"--batch_shape={batch},{length}: more than {_FRAMES:,} frames",
    )
    _require(
        config.image_loss_every <= length,
        f"--image_loss_every={config.image_loss_every}: must be at most "
        f"{length}, the rows of a chunk in --batch_shape",
    )
    _require(config.tasks, "--tasks: needs at least one task")
    try:
        tasks = {name: get_task(name) for name in config.tasks}
    except ValueError as error:
        raise ValueError(f"--tasks={','.join(config.tasks)}: {error}") from None
    _require(
        len(set(tasks.values())) == len(config.tasks),
        f"--tasks={','.join(config.tasks)}: names a task twice",
    )
    for name, task in tasks.items():
        if task.domain in SUITE:  # Only the world knows about others.
            repeat = config.action_repeat or task.action_repeat
            check_length(config, name, EPISODE_FRAMES // repeat)
            _require(
                config.camera_id < cameras(task),
                f"--camera_id={config.camera_id}: {name} has only cameras 0 to "
                f"{cameras(task) - 1}, and -1, the free one",
            )
    _require(
        config.planner_topk <= config.planner_amount,
        f"--planner_topk={config.planner_topk}: must be at most "
        f"--planner_amount={config.planner_amount}",
    )
    overshooting = {
        name: least
        for name, least in (
            ("overshooting_scale", 2),
            ("overshooting_reward_scale", 1),
        )
        if getattr(config, name)
    }
    for name, least in overshooting.items():
        _require(
            least <= config.overshooting_distance < length,
            f"--overshooting_distance={config.overshooting_distance}: must be "
            f"from {least} to {length - 1}, one less than a chunk, with "
            f"--{name}={getattr(config, name)}",
        )
    _require(
        overshooting or not config.overshooting_distance,
        f"--overshooting_distance={config.overshooting_distance}: has no "
        "effect without --overshooting_scale or --overshooting_reward_scale",
    )
    _require(
        config.collect_objective == "reward" or config.explores,
        f"--collect_objective={config.collect_objective}: no collector in "
        "--train_collects follows it",
    )
    for name in ("discount", "value_lambda"):
        default = parameters.fields(type(config))[name].default
        _require(
            config.value_loss_scale or getattr(config, name) == default,
            f"--{name}={getattr(config, name)}: has no effect without "
            "--value_loss_scale",
        )
    _require(
        config.train_collects or not config.collect_while_training,
        "--collect_while_training: has no effect without --train_collects; "
        "--nocollect_while_training switches it off",
    )
    _validate_model(config)
    for split in ("train", "test"):
        _validate_collectors(config, split)


def _validate_model(config: Config) -> None:
    """Heads, what trains them, and options of another model."""
    _require(
        not config.state_diagnostics or len(config.tasks) == 1,
        "--state_diagnostics: needs a single task, because several share "
        "nothing but images",
    )
    fields = parameters.fields(type(config))
    others = set(config.gradient_heads) - {"image", "reward"}
    _require(
        config.state_diagnostics or not others,
        f"--gradient_heads={','.join(config.gradient_heads)}: only image and "
        "reward without --state_diagnostics",
    )
    scales = {"divergence_scale", "global_div_scale"}
    scales |= {f"{name}_loss_scale" for name in config.gradient_heads}
    scales |= {f"overshooting_{name}_scale" for name in config.gradient_heads}
    scales &= set(fields)
    _require(
        others or any(getattr(config, name) for name in scales),
        f"--{', --'.join(sorted(scales))}: one of them must not be 0, or "
        "nothing trains the model",
    )
    for name, field in fields.items():
        model = _ONLY.get(name, "drnn" if name.startswith("drnn_") else None)
        _require(
            model in (None, config.model)
            or getattr(config, name) == field.default,
            f"--{name}={getattr(config, name)}: has no effect with "
            f"--model={config.model}, only with {model}",
        )


def _validate_collectors(config: Config, split: str) -> None:
    """Each on its own, and their names together."""
    collectors = config.collectors(split).values()
    flag = f"--{split}_collects"
    B = config.batch_shape[0]
    names = [it.name for it in getattr(config, f"{split}_collects")]
    _require(
        names or split == "train",
        f"{flag}: needs at least one collector, whose return is the score",
    )
    _require(
        len(set(names)) == len(names),
        f"{flag}: each needs a `name` of its own, not {', '.join(names)}",
    )
    for it in collectors:
        _require(
            re.fullmatch(r"[\w.-]{1,50}", it.name),  # Names tags and files.
            f"{flag}: name={it.name!r}: needs 1 to 50 letters, digits, or any "
            "of _.-",
        )
        parameters.check(it, f"{flag}: {it.name}: ")
        _require(
            it.topk <= it.amount,
            f"{flag}: {it.name}: topk={it.topk}: must be at most "
            f"amount={it.amount}",
        )
        _require(
            it.objective == "reward" or it.iterations,
            f"{flag}: {it.name}: objective={it.objective}: has no effect with "
            "iterations=0, which plans nothing",
        )
        _require(
            split == "train" or it.objective == "reward",
            f"{flag}: {it.name}: objective={it.objective}: tests have scores, "
            "which are rewards; --train_collects explores",
        )
        _require(
            # At any step, however late.
            split == "test" or it.interval.count(2**31 // B * B, B),
            f"{flag}: {it.name}: until={it.until}: with after={it.after} and "
            f"updates of {B} step units it never collects",
        )


def check_length(config: Config, task: str, decisions: int) -> None:
    """Raises ValueError if an episode is too short for a chunk."""
    batch, length = config.batch_shape
    repeat = config.action_repeat or get_task(task).action_repeat
    _require(
        decisions >= CONTEXT,
        f"--action_repeat={repeat}: an episode of {task} has only "
        f"{decisions + 1} rows then, and tests predict from {CONTEXT} on",
    )
    _require(
        length <= decisions + 1,
        f"--batch_shape={batch},{length}: an episode of {task} has only "
        f"{decisions + 1} rows at an action repeat of {repeat} "
        "(--action_repeat)",
    )


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)
