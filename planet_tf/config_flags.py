"""A run's parameters on the command line: a flag for each, made from `Config`.

A value comes from, in rising precedence: the preset (`--config`), the YAML
dictionary in `--params` (the original's way), the flag of its own name.
"""

import dataclasses
import logging

from absl import flags

from planet_tf.collects import without_ignored
from planet_tf.config import PRESETS, Config
from planet_tf.control.tasks import get_task
from planet_tf.tools import parameters
from planet_tf.validation import validate

_FIELDS = parameters.fields(Config)

# Parameters of the original without a meaning here: why, and which values are
# accepted without an effect (None: all). Any other would change what happens
# there, and is refused.
IGNORED: dict[str, tuple[str, tuple | None]] = {
    "isolate_envs": ("every world lives in a process of its own", None),
    "loader": (
        "batches are drawn uniformly from all episodes",
        ("recent", "cache", "reload"),
    ),
    "loader_every": ("new episodes are used at once", None),
    "loader_window": ("nothing ever read it", None),
    "num_chunks": ("every chunk is drawn on its own", (1,)),
    "bound_action": ("nothing ever read it", None),
    "network": ("it is the only one", ("conv_ha",)),
    "planner": ("it is the only one", ("cem",)),
    "checkpoint_every": ("checkpoints are written more often here", None),
}

flags.disclaim_key_flags()  # --help counts them to the module that has them.


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines `--config`, `--params`, `--task` and a flag per field."""
    flags.DEFINE_enum(
        "config",
        "default",
        list(PRESETS),
        "Preset: the original's values, a run for two CPU cores, or a quick "
        "check that everything runs.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "params",
        "{}",
        "YAML dictionary of parameters; '#' is read as ','.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "task", None, "Short for --tasks with one task.", flag_values=values
    )
    for field in _FIELDS.values():
        help = field.metadata["help"]
        if field.metadata["valid"]:
            help = f"{help} ({field.metadata['valid']})"
        if others := _in_presets(field):
            help = f"{help} With {others}."
        if field.type is bool:
            flags.DEFINE_boolean(
                field.name, field.default, help, flag_values=values
            )
        else:
            flags.DEFINE(
                parameters.Parser(field.type),
                field.name,
                field.default,
                help,
                flag_values=values,
                serializer=parameters.Serializer(),
            )


def _in_presets(field: dataclasses.Field) -> str:
    """Where its default is another one, as in "--config=cpu: 8,25"."""
    values = {
        name: getattr(preset, field.name) for name, preset in PRESETS.items()
    }
    write = parameters.Serializer().serialize
    return "; ".join(
        f"--config={name}: {write(value)}"
        for name, value in values.items()
        if value != field.default
    )


def read(values: flags.FlagValues = flags.FLAGS) -> Config:
    """The preset, changed by `--params` and then by single flags; validated.

    Raises:
        ValueError: With one line that says which flag to change.
    """
    try:
        params = parameters.read_yaml(values["params"].value.replace("#", ","))
    except ValueError as error:
        raise ValueError(f"--params is {error}") from error
    if not isinstance(params, dict):
        raise ValueError(
            "--params must be a dictionary such as '{batch_shape: [50, 50]}', "
            f"not {values['params'].value!r}"
        )
    params = without_ignored(params, IGNORED, "--params")
    given = parameters.converted(Config, params, "--params")
    given.update(
        {name: values[name].value for name in _FIELDS if values[name].present}
    )
    if values["task"].present:
        if values["tasks"].present:
            raise ValueError("--task and --tasks exclude each other")
        task = values["task"].value
        try:
            get_task(task)
        except ValueError as error:
            hint = " Several tasks: --tasks." if "," in task else ""
            raise ValueError(f"--task={task}:{hint} {error}") from None
        given["tasks"] = (task,)
    config = dataclasses.replace(PRESETS[values["config"].value], **given)
    validate(config)
    for collect in config.test_collects:
        for name in ("after", "every", "until"):
            if getattr(collect, name) not in (None, -1):
                logging.warning(
                    "--test_collects: %s has no effect: every collector "
                    "plays in every test.",
                    name,
                )
    return config
