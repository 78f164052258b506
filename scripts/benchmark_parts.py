"""The parts that `scripts/benchmark.py` times.

What a world's or the limit's process does is defined here as well, so this
module imports TensorFlow only where a model is needed.
"""

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from planet_tf import machine, totals
from planet_tf.config import Config
from planet_tf.control import episodes
from planet_tf.control.dm_control_adapter import DeepMindControl
from planet_tf.control.environments import Spec
from planet_tf.control.tasks import IMAGE_SHAPE, SUITE, get_task, label
from planet_tf.control.workers import Worker
from planet_tf.tools.quiet import without_cuda_complaints
from planet_tf.tools.replay import Replay
from planet_tf.worlds import worker

NAMES = ("update", "plan", "act", "render", "simulate", "replay", "episode")

PLAIN = {"update": "update_plain", "plan": "plan_plain"}

_SUITE_ONLY = {"render", "simulate"}
_MATRIX = 4096  # Rows and columns.
_FRAMES = 20  # Drawn in a row; one is too short to be timed well.
_DECISIONS = 50  # Likewise.


class Part(NamedTuple):
    """Something to time."""

    run: Callable[[], object]
    gflop: float | None = None  # Arithmetic of one; None: not counted.
    count: int = 1  # How many one `run` does.
    warm: Callable[[], object] | None = None  # Instead of a first `run`.


class MatrixProduct:
    """The limit; lives in a process of its own, with TensorFlow's threads.

    One large product runs on all cores only where an operation may use them
    all, which is not how the other parts set TensorFlow up.

    Args:
        precision: What it is computed in.

    Attributes:
        spec: What computes, in words.
        gflop: Arithmetic of one product.
    """

    gflop = 2e-9 * _MATRIX**3

    def __init__(self, precision: str):
        with without_cuda_complaints():
            import tensorflow as tf

            from planet_tf.tools import devices

            devices.prepare(branches=False)
        gpus = devices.gpu_names()
        self.spec = gpus[0] if gpus else machine.processor()
        # On a GPU, starting one product takes as long as the product.
        self._count = 50 if gpus else 1
        # Scaled so that products of products stay finite.
        a = tf.random.normal([_MATRIX, _MATRIX]) / _MATRIX**0.5
        a = tf.cast(a, precision)

        @tf.function
        def products():
            x = a
            for _ in range(self._count):
                x = tf.matmul(a, x)
            return x[0, 0]

        self._products = products

    def seconds(self, unused: None) -> float:
        """What one product takes now."""
        start = time.perf_counter()
        self._products().numpy()
        return (time.perf_counter() - start) / self._count

    def close(self) -> None:
        """Nothing is to be released."""


class PlainGraph:
    """Update and plan as a plain Keras graph with TensorFlow's threads.

    It lives in a process of its own as well, and computes in float32.

    Args:
        names: Of `PLAIN`.
        config: Sizes.
        spec: Of the world.
    """

    def __init__(self, names: list[str], config: Config, spec: Spec):
        self.spec = spec
        config = dataclasses.replace(config, precision="float32")
        self._parts = _graphs(names, config, spec, plain=True)

    def run(self, name: str) -> object:
        """What the part of that name returns."""
        return self._parts[name].run()

    def close(self) -> None:
        """Nothing is to be released."""


class Camera(DeepMindControl):
    """A world that draws frames in a row, without the pipe in between."""

    def draw(self, count: int) -> None:
        """Draws the current state so many times."""
        if not self._decisions_left:
            self.reset(0)
        for _ in range(count):
            self.render()


class Physics(DeepMindControl):
    """A world without a camera."""

    _rng = np.random.default_rng(0)

    def render(self) -> np.ndarray:
        """Nothing."""
        return np.zeros([])

    def decide(self, count: int) -> None:
        """Carries out random decisions."""
        for _ in range(count):
            if not self._decisions_left:
                self.reset(0)
            self.step(self._rng.uniform(-1, 1, self.spec.action_dim))


def parts(
    names: list[str],
    config: Config,
    kept: int,
    stack: contextlib.ExitStack,
    plain: bool = False,
) -> dict[str, Part]:
    """The parts to time, by name.

    Args:
        names: Of `NAMES`.
        config: Sizes; its first task is the world.
        kept: Episodes that replay holds.
        stack: Closes what the parts need.
        plain: Time update and plan as `PlainGraph`, too; see `PLAIN`.

    Raises:
        ValueError: The task has no part of that name.
        WorkerError: The world cannot be made.
    """
    task = config.tasks[0]
    result = {}
    if wrong := _SUITE_ONLY & set(names):
        if get_task(task).domain not in SUITE:
            raise ValueError(
                f"--task={task}: {' and '.join(sorted(wrong))} can be timed "
                "for tasks of dm_control alone"
            )
        result |= _simulator_parts(names, config, stack)
    if not set(names) - _SUITE_ONLY:
        return result
    world = stack.enter_context(worker(config, task))
    rng = np.random.default_rng(0)
    if "replay" in names:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        replay = Replay(folder, on_disk=config.replay_storage == "disk")
        for _ in range(kept):
            rows = world.spec.episode_length + 1
            replay.add(_episode(rng, rows, world.spec), label(task))
        result["replay"] = Part(lambda: replay.sample(rng, *config.batch_shape))
    if set(names) - _SUITE_ONLY - {"replay"}:
        result |= _graphs(names, config, world.spec, world)
    wanted = [name for name in PLAIN if plain and name in names]
    if wanted:
        graph = functools.partial(PlainGraph, wanted, config, world.spec)
        graph = stack.enter_context(Worker(graph))
        for name in wanted:
            result[PLAIN[name]] = Part(
                lambda name=name: graph.call("run", name)(), result[name].gflop
            )
    return result


def _episode(
    rng: np.random.Generator, rows: int, spec: Spec
) -> dict[str, np.ndarray]:
    """One of so many rows, without a meaning."""
    others = {
        key: np.zeros([rows, *shape], np.float32)
        for key, shape in spec.observations.items()
    }
    actions = rng.uniform(-1, 1, [rows, spec.action_dim])
    return {
        **others,
        "image": rng.integers(0, 256, [rows, *IMAGE_SHAPE], np.uint8),
        "action": actions.astype(np.float32),
        "reward": np.zeros(rows, np.float32),
    }


def _simulator_parts(
    names: list[str], config: Config, stack: contextlib.ExitStack
) -> dict[str, Part]:
    """Those of dm_control, each in a process of its own."""

    def start(kind: type[DeepMindControl], **changes: str) -> Worker:
        constructor = functools.partial(
            kind,
            get_task(config.tasks[0]),
            action_repeat=config.action_repeat or None,
            camera=config.camera_id,
            **changes,
        )
        return stack.enter_context(Worker(constructor))

    result = {}
    for quality in ("original", "fast") if "render" in names else ():
        camera = start(Camera, render_quality=quality)
        result[f"render_{quality}"] = Part(
            lambda camera=camera: camera.call("draw", _FRAMES)(), count=_FRAMES
        )
    if "simulate" in names:
        physics = start(Physics)
        result["simulate"] = Part(
            lambda: physics.call("decide", _DECISIONS)(), count=_DECISIONS
        )
    return result


def _graphs(
    names: list[str],
    config: Config,
    spec: Spec,
    world: Worker | None = None,
    plain: bool = False,
) -> dict[str, Part]:
    """Those that need TensorFlow; `world` is for an episode."""
    with without_cuda_complaints():
        import tensorflow as tf

        from planet_tf import build
        from planet_tf.control.planning import cross_entropy_method
        from planet_tf.tools import devices
        from scripts import plain as plain_graph

        devices.prepare(branches=not plain)
    A = spec.action_dim
    make = plain_graph.world_model if plain else build.world_model
    model = make(config, A, observations=spec.observations)
    agent = build.agent(config, model, A)
    agent.reset(1)
    rng = np.random.default_rng(0)
    image = _episode(rng, 1, spec)["image"]
    update_gflop, plan_gflop = _arithmetic(config, A)
    result = {}
    if "update" in names:
        B, T = config.batch_shape
        learner = build.learner(config, model)
        chunks = [_episode(rng, T, spec) for _ in range(B)]
        batch = {
            key: tf.constant(np.stack([chunk[key] for chunk in chunks]))
            for key in chunks[0]
        }
        update_seed = tf.constant([0, 1])
        result["update"] = Part(
            lambda: learner.update(batch, update_seed)["loss"].numpy(),
            update_gflop,
        )
    if "plan" in names:

        @tf.function
        def plan(state, seed):
            noise = agent.draw_noise(seed, 1)
            return cross_entropy_method(
                agent.objective(state, noise.latent),
                noise.plan,
                elites=config.planner_topk,
            )

        state, plan_seed = model.dynamics.initial(1), tf.constant([0, 2])
        result["plan"] = Part(
            lambda: plan(state, plan_seed).numpy(), plan_gflop
        )
    if "act" in names:
        result["act"] = Part(lambda: agent.act(image), plan_gflop)
    if "episode" in names:
        result["episode"] = Part(
            lambda: episodes.collect([world], agent, [0]),
            plan_gflop and spec.episode_length * plan_gflop,
            # A whole one would take minutes at the paper's sizes.
            warm=lambda: agent.act(image),
        )
    return result


def _arithmetic(
    config: Config, action_dim: int
) -> tuple[float | None, float | None]:
    """GFLOP of an update and of a plan, where they are counted."""
    if config.model != "rssm" or config.model_layers != 1:
        return None, None
    return (
        totals.update_flops(config, action_dim) / 1e9,
        totals.plan_flops(config, action_dim) / 1e9,
    )
