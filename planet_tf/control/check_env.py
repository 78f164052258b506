"""Says in words what is wrong with a world; see `check_env`."""

import numbers
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from planet_tf.control.environments import Environment, Spec
from planet_tf.control.tasks import IMAGE_SHAPE

SLOW = 0.2  # seconds a decision; the `cpu` preset plans one in half of that
_FEW = 20  # decisions of the episodes that are played for a comparison


class _FatalError(Exception):
    """A problem beyond which nothing more can be checked."""


class _Log(list):
    """Problems, each kept once: most would come back at every decision."""

    def __init__(self):
        super().__init__()
        self.seconds = []  # of every step
        self.tolerated = set()  # Problems with which training works.

    def require(
        self, condition: bool, problem: str, tolerated: bool = False
    ) -> None:
        if not condition and problem not in self:
            self.append(problem)
            self.tolerated |= {problem} if tolerated else set()


def check_env(
    environment: Environment, slow: float = SLOW
) -> tuple[list[str], str]:
    """Plays some episodes with random actions and looks at everything.

    Imports no TensorFlow, and renders in this process; call it where neither
    does harm. Does not close the world.

    Args:
        environment: What `environments.Environment` describes.
        slow: Seconds that a decision may take.

    Returns:
        Problems, one line each, best first to be solved; empty if there are
        none. And a line that sums up the episode that was played.
    """
    log = _Log()
    try:
        return log, _check(environment, log, slow)
    except _FatalError as error:
        log.append(str(error))
        return log, "Nothing more could be checked."


def glance(environment: Environment) -> str:
    """The first problem of a decision that training fails with, in a line.

    Args:
        environment: See `check_env`.

    Returns:
        Empty if there is none.
    """
    log = _Log()
    try:
        _play(environment, 0, 0, 1, log)
    except _FatalError as error:
        return str(error)
    return next((x for x in log if x not in log.tolerated), "")


def spec_problem(world: Environment | Any) -> str:
    """What is wrong with a world's `spec`, in a line; empty if nothing."""
    if hasattr(world, "action_space"):
        return (
            "This is a Gymnasium environment. Register it, and name it "
            "gym:MODULE:ID."
        )
    spec = getattr(world, "spec", None)
    if not isinstance(spec, Spec):
        return (
            "The attribute `spec` has to be a planet_tf.control.environments."
            f"Spec; it is {spec!r}."
        )
    for name in ("action_dim", "episode_length"):
        value = getattr(spec, name)
        if not isinstance(value, numbers.Integral) or value < 1:
            return f"spec.{name} is {value!r}, not an integer above 0."
    shape = spec.observations.get("image")
    if shape != IMAGE_SHAPE:
        return f"spec.observations['image'] is {shape}, not {IMAGE_SHAPE}."
    if spec.observations.get("terminated", ()) != ():
        return "spec.observations['terminated'] is not ()."
    for name in ("action", "reward"):
        if name in spec.observations:
            return (
                f"An observation is called {name!r}, as what is recorded "
                "beside them; give it another name."
            )
    return ""


def _check(world: Environment, log: _Log, slow: float) -> str:
    if problem := spec_problem(world):
        raise _FatalError(problem)
    episode = _play(world, 0, 0, world.spec.episode_length, log)
    seconds = float(np.median(log.seconds))
    images = [step[0]["image"] for step in episode]
    rewards = [step[1] for step in episode[1:]]
    done = episode[-1][2]
    log.require(
        not done or len(rewards) > 1 or world.spec.episode_length == 1,
        "The episode is over after its first decision; is `done` inverted, or "
        "the action repeat too large?",
    )
    _check_images(images, log)
    log.require(
        seconds <= slow,
        f"It is slow: {1000 * seconds:.0f} ms a decision, of which training "
        "needs many thousands. Rendering usually takes most of it; draw "
        f"{IMAGE_SHAPE[0]}x{IMAGE_SHAPE[1]} pixels.",
    )
    _check_determinism(world, episode, log)
    early = len(rewards) < world.spec.episode_length
    terminated = episode[-1][0].get("terminated", early)
    end = "It terminated." if terminated else "It was cut off there."
    return (
        f"{len(rewards)} of at most {world.spec.episode_length} decisions "
        f"with {world.spec.action_dim} random actions: return "
        f"{sum(rewards):.4g}, rewards from {min(rewards):.3g} to "
        f"{max(rewards):.3g}, {1000 * seconds:.1f} ms a decision. {end}"
    )


def _play(
    world: Environment, seed: int, actions: int, decisions: int, log: _Log
) -> list[tuple[dict, float, bool]]:
    """Observation, reward and `done` of an episode's rows; row 0 is reset.

    Args:
        world: Played in.
        seed: Of the world.
        actions: Seed of the random actions, which begin in the corners.
        decisions: To stop after, if the episode has not ended.
        log: Gets what is wrong.
    """
    rng = np.random.default_rng(actions)
    size = world.spec.action_dim
    observation = _call(world.reset, "reset", seed)
    rows = [(_checked(observation, world, "reset", log), 0.0, False)]
    while len(rows) <= decisions and not rows[-1][2]:
        action = rng.uniform(-1, 1, size).astype(np.float32)
        if len(rows) <= 2:
            action = np.sign(action)
        given = action.copy()
        start = time.perf_counter()
        result = _call(world.step, "step", action)
        log.seconds.append(time.perf_counter() - start)
        if not isinstance(result, tuple) or len(result) != 3:
            raise _FatalError(
                f"step returns {_count(result)}, not the three of "
                "(observation, reward, done)."
            )
        log.require(np.array_equal(given, action), "step changes its argument.")
        observation, reward, done = result
        rows.append(
            (
                _checked(observation, world, "step", log),
                _checked_reward(reward, log),
                bool(done),
            )
        )
        log.require(
            isinstance(done, bool | np.bool_),
            f"`done` is of type {type(done).__name__}, not bool.",
            tolerated=True,
        )
    return rows


def _call(method: Callable, name: str, argument: Any) -> Any:
    try:
        return method(argument)
    except Exception as error:
        given = argument.tolist() if name == "step" else argument
        raise _FatalError(
            f"{name}({given}) raises {type(error).__name__}: {error}"
        ) from error


def _count(result: Any) -> str:
    if isinstance(result, tuple):
        return f"{len(result)} values"
    return f"a {type(result).__name__}"


def _checked(
    observation: Any, world: Environment, method: str, log: _Log
) -> dict[str, np.ndarray]:
    """A copy of the observation, with an image in it; or stops."""
    if not isinstance(observation, dict):
        raise _FatalError(
            f"{method} returns a {type(observation).__name__} as the "
            "observation, not a dictionary of arrays."
        )
    expected = world.spec.observations
    log.require(
        observation.keys() == expected.keys(),
        f"The observations are {sorted(observation)}, but "
        f"spec.observations has {sorted(expected)}.",
    )
    image = np.asarray(observation.get("image"))
    if image.dtype.kind not in "biuf" or not image.size:
        raise _FatalError(f"{method} returns no image, an array of numbers.")
    for name, array in observation.items():
        array = np.asarray(array)
        dtype = np.uint8 if name == "image" else np.float32
        log.require(
            array.dtype == dtype,
            f"{name} is {array.dtype}, not {np.dtype(dtype)}.",
            tolerated=name != "image",
        )
        shape = expected.get(name, array.shape)
        log.require(
            array.shape == tuple(shape),
            f"{name} has shape {array.shape}, not {tuple(shape)}.",
        )
        if array.dtype.kind == "f":
            log.require(
                bool(np.isfinite(array).all()), f"{name} is not finite."
            )
    return {name: np.array(array) for name, array in observation.items()}


def _checked_reward(reward: Any, log: _Log) -> float:
    try:
        value = float(reward)
    except (TypeError, ValueError):
        log.require(False, f"The reward is {reward!r}, not a number.")
        return 0.0
    log.require(np.isfinite(value), f"The reward is {value}, not finite.")
    return float(np.nan_to_num(value))  # Can be compared and added.


def _check_images(images: list[np.ndarray], log: _Log) -> None:
    values = np.array([[image.min(), image.max()] for image in images])
    low, high = values[:, 0].min(), values[:, 1].max()
    if all(image.std() == 0 for image in images):
        log.append("Every image is of one colour; is anything drawn?")
    elif high <= 1:
        log.append(f"Images go from {low} to {high}, not from 0 to 255.")
    elif len(images) > 2 and all(
        np.array_equal(image, images[0]) for image in images
    ):
        log.append("The image never changes.")


def _check_determinism(world: Environment, first: list, log: _Log) -> None:
    """Compares short episodes with the start of the first one."""
    decisions = min(_FEW, len(first) - 1)
    again = _play(world, 0, 0, decisions, log)
    first = first[: decisions + 1]
    if not _same(first[0][0], again[0][0]):
        log.append(
            "The same seed starts another episode: reset(seed) has to seed "
            "everything that is random, and to forget what was played before."
        )
    elif not _alike(first, again):
        log.append(
            "The same seed and actions lead to another episode: something is "
            "random that reset(seed) does not seed, or survives it."
        )
    elif _alike(first, _play(world, 0, 1, decisions, log)):
        log.append(
            f"Actions change neither images nor rewards of {decisions} "
            "decisions."
        )


def _alike(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        _same(a[0], b[0]) and a[1:] == b[1:]
        for a, b in zip(one, other, strict=True)
    )


def _same(one: dict, other: dict) -> bool:
    return set(one) == set(other) and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )
