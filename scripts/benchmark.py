"""Times the parts of a run beside what the hardware could do.

    python -m scripts.benchmark update act
    python -m scripts.benchmark update act replay step --config=cpu --json

update  one gradient step on a batch in memory
act     one decision of the agent: encode, filter, plan
replay  one batch out of replay
step    one decision in the world: physics and one frame

Every repetition runs all parts once, and a large float32 matrix product whose
rate is the limit: measured beside the parts, it shares the machine's state with
them. Arithmetic is counted in `tools/flops.py`; `act` counts the plan alone.
"""

import contextlib
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags, logging

from planet_tf import config as configs
from planet_tf.config import Config
from planet_tf.control import rendering
from planet_tf.control.environments import make_environment
from planet_tf.control.workers import Worker
from planet_tf.tools import flops
from planet_tf.tools.replay import Replay

NAMES = ("update", "act", "replay", "step")
_MATRIX = 4096  # Rows and columns of the matrix product.
_ROWS = 251  # Of an episode in the replay: a thousand frames, repeat 4.

# What to run, and its arithmetic in GFLOP; 0: not counted.
Part = tuple[Callable[[], object], float]


def parts(
    names: list[str], config: Config, stack: contextlib.ExitStack
) -> dict[str, Part]:
    """The parts to time, by name; `stack` closes what they need."""
    import tensorflow as tf

    from planet_tf import build
    from planet_tf.training.learner import Learner

    (B, T), task = config.batch_shape, config.tasks[0]
    result: dict[str, Part] = {}
    a = tf.random.normal([_MATRIX, _MATRIX])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
    result["matrix"] = (lambda: product().numpy(), 2e-9 * _MATRIX**3)

    world = stack.enter_context(
        Worker(
            functools.partial(
                make_environment, task, render_quality=config.render_quality
            )
        )
    )
    A = world.spec.action_dim
    rng = np.random.default_rng(0)

    def episode(rows: int) -> dict[str, np.ndarray]:
        return {
            "image": rng.integers(0, 256, [rows, 64, 64, 3], np.uint8),
            "action": rng.uniform(-1, 1, [rows, A]).astype(np.float32),
            "reward": np.zeros(rows, np.float32),
        }

    sizes = {
        "stoch": config.state_size,
        "deter": config.model_size,
        "layers": config.num_layers,
        "units": config.num_units,
    }
    model = build.world_model(config, A)
    if "update" in names:
        learner = Learner(model)
        chunks = [episode(T) for _ in range(B)]
        batch = {
            key: tf.constant(np.stack([chunk[key] for chunk in chunks]))
            for key in chunks[0]
        }
        work = flops.update_flops(B, T, config.conv_depth, A, **sizes)
        result["update"] = (
            lambda: learner.update(batch, tf.constant([0, 1]))["loss"].numpy(),
            work / 1e9,
        )
    if "act" in names:
        agent = build.agent(config, model, A)
        agent.reset(1)
        image = episode(1)["image"]
        search = (config.planner_amount, config.planner_iterations)
        work = flops.plan_flops(*search, config.planner_horizon, A, **sizes)
        result["act"] = (lambda: agent.act(image), work / 1e9)
    if "replay" in names:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        replay = Replay(folder)
        for _ in range(20):
            replay.add(episode(_ROWS), task)
        result["replay"] = (lambda: replay.sample(rng, B, T), 0.0)
    if "step" in names:

        def step() -> None:
            if step.done:
                world.reset(0)()
            action = rng.uniform(-1, 1, A).astype(np.float32)
            step.done = world.step(action)()[2]

        step.done = True
        result["step"] = (step, 0.0)
    return result


def measure(timed: dict[str, Part], reps: int) -> list[dict]:
    """Runs all parts in turn; one row for each, the matrix product first."""
    seconds = {name: [] for name in timed}
    for rep in range(reps + 1):
        for name, (run, _) in timed.items():
            start = time.perf_counter()
            run()
            if rep:  # The first traces and compiles.
                seconds[name].append(time.perf_counter() - start)
    rates = {
        name: gflop / statistics.median(seconds[name])
        for name, (_, gflop) in timed.items()
    }
    return [
        {
            "name": name,
            "median_s": statistics.median(seconds[name]),
            "min_s": min(seconds[name]),
            "max_s": max(seconds[name]),
            "gflop": gflop,
            "gflop_per_s": rates[name],
            "limit_gflop_per_s": rates["matrix"],
            "fraction_of_limit": rates[name] / rates["matrix"],
        }
        for name, (_, gflop) in timed.items()
    ]


def main(argv: list[str]) -> None:
    """Prints a table, or with `--json` one object a line."""
    names = argv[1:] or list(NAMES)
    unknown = set(names) - set(NAMES)
    if unknown:
        raise app.UsageError(
            f"Unknown: {', '.join(unknown)}. Choose from {', '.join(NAMES)}."
        )
    try:
        config = configs.config_from_flags()
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    logging.set_verbosity(logging.WARNING)
    rendering.choose_backend()
    with contextlib.ExitStack() as stack:
        rows = measure(parts(names, config, stack), flags.FLAGS.reps)
    if flags.FLAGS.json:
        print("\n".join(json.dumps(row) for row in rows))
        return
    print(f"{'':8}{'median s':>10}{'min':>9}{'max':>9}{'GFLOP':>9}", end="")
    print(f"{'GFLOP/s':>9}{'of limit':>10}")
    for row in rows:
        print(
            "{name:8}{median_s:10.4f}{min_s:9.4f}{max_s:9.4f}".format(**row),
            end="",
        )
        if row["gflop"]:
            print(
                "{gflop:9.1f}{gflop_per_s:9.1f}".format(**row),
                end=f"{row['fraction_of_limit']:10.0%}",
            )
        print()


if __name__ == "__main__":
    configs.define_flags()
    flags.adopt_module_key_flags(configs)
    flags.DEFINE_integer("reps", 5, "Repetitions.", lower_bound=1)
    flags.DEFINE_boolean("json", False, "One JSON object a line.")
    app.run(main, flags_parser=configs.parse_flags)
