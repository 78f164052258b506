"""Collectors: who plays episodes, when, and with which planner.

A run has a list of them for training and one for testing, the original's
`train_collects` and `test_collects`:

    --train_collects='[{batch_size: 4}, {name: wild, action_noise: 1.0}]'
"""

import dataclasses
import logging
from typing import Any

from planet_tf.tools import parameters
from planet_tf.tools.parameters import param
from planet_tf.training.schedule import Interval

# How the planner searches: names here, and with `planner_` in a Config.
PLANNER = ("horizon", "amount", "topk", "iterations")


@dataclasses.dataclass(frozen=True)
class Collect:
    """One collector; None stands for the run's own parameter.

    Names and units are the original's (`_define_simulation` in
    `scripts/configs.py`), except in the last three.
    """

    name: str = param("main", "Distinguishes collectors.")
    batch_size: int = param(
        1,
        "Worlds of each task, played side by side in one plan.",
        ">= 1, <= 256",
    )
    after: int | None = param(None, "First collection; collect_every.", ">= 0")
    every: int | None = param(
        None, "Step units between collections; collect_every.", ">= 1"
    )
    until: int = param(-1, "No collection from here on; -1: no end.", ">= -1")
    action_noise: float | None = param(
        None, "Exploration; train_action_noise, and 0 in tests.", ">= 0"
    )
    action_noise_ramp: int | None = param(None, "action_noise_ramp.")
    action_noise_min: float | None = param(None, "action_noise_min.", ">= 0")
    objective: str | None = param(
        None,
        "collect_objective, and reward in tests.",
        "reward | disagreement",
    )
    horizon: int | None = param(None, "planner_horizon.", ">= 1")
    # Deviates from planet: the planner's search is the same for all collectors
    # there, so that random data collection makes the test agent random, too.
    amount: int | None = param(None, "planner_amount.", ">= 1")
    topk: int | None = param(None, "planner_topk.", ">= 1")
    iterations: int | None = param(None, "planner_iterations.", ">= 0")

    @property
    def planner(self) -> tuple[int, ...]:
        """Horizon, candidates, elites and iterations."""
        return tuple(getattr(self, name) for name in PLANNER)

    @property
    def agent_key(self) -> tuple:
        """What the agent has to be made for."""
        return self.objective, *self.planner

    @property
    def interval(self) -> Interval:
        """When it plays."""
        return Interval(self.after, self.every, self.until)


# As `IGNORED` of `planet_tf/config_flags.py`, in a collector.
_IGNORED: dict[str, tuple[str, tuple | None]] = {
    "prefix": ("it only named the summaries", None),
    "save_episode_dir": (
        "all collectors of training share one folder, and all of tests",
        (),
    ),
}


def read(value: Any) -> tuple[Collect, ...]:
    """Collectors from a list of dictionaries, or from its YAML.

    Raises:
        ValueError: It is something else, or a name or value is unknown.
    """
    if isinstance(value, str):
        value = parameters.read_yaml(value)
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"{value!r} is not a list of collectors such as "
            "[{}, {name: wide, horizon: 20}]"
        )
    return tuple(_collect(item, i) for i, item in enumerate(value))


def _collect(value: Any, index: int) -> Collect:
    if isinstance(value, Collect):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not a dictionary of parameters")
    source = f"collector {index + 1}"
    value = without_ignored(value, _IGNORED, source)
    return Collect(**parameters.converted(Collect, value, source))


def without_ignored(
    values: dict, ignored: dict[str, tuple[str, tuple | None]], source: str
) -> dict:
    """Leaves out parameters of the original without a meaning here.

    Args:
        values: By name.
        ignored: Why, and which values are accepted without an effect; None:
            all. Any other would change what happens there.
        source: For messages.

    Raises:
        ValueError: A value that is not accepted.
    """
    rest = dict(values)
    for name in [name for name in values if name in ignored]:
        value = rest.pop(name)
        reason, accepted = ignored[name]
        if accepted is not None and value not in accepted:
            choice = " or ".join(str(x) for x in accepted)
            only = f", only {choice}" if choice else ""
            raise ValueError(
                f"{source}: {name}={value} is not available{only}: {reason}"
            )
        logging.warning("%s: %s has no effect: %s.", source, name, reason)
    return rest


parameters.CONVERT[tuple[Collect, ...]] = read
