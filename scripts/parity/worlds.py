"""Recorded episodes, and the simulated rewards and states of every task."""

import concurrent.futures
import functools
import importlib.metadata
import json
import multiprocessing
import tempfile
from typing import Any

import numpy as np

from planet_tf.control.episodes import collect
from planet_tf.control.workers import Worker
from planet_tf.tools.replay import Replay
from scripts.parity.probe import Probe, formula_action, play
from scripts.parity.report import EXACT, LAYER, Parity

_PIXELS = 2 / 255


def episode(p: Parity) -> None:
    """An episode as it is played, written and read."""
    actions = p.get("episode:sent_action")
    state = p.get("episode:physics_state")
    task = p.settings["episode_task"]
    target = _target(p, "episode:file_to_target")
    constructor = functools.partial(Probe, task, state[0], target, len(actions))
    with Worker(constructor) as worker:
        (played,) = collect([worker], _Given(actions), [0])
    p.check("episode:physics_state", played.pop("physics_state"), LAYER)
    with tempfile.TemporaryDirectory() as directory:
        path = Replay(directory).add(played, task)
        with np.load(path) as arrays:
            written = {name: arrays[name] for name in sorted(arrays.files)}
        rng, keys = np.random.default_rng(0), tuple(written)
        read = Replay(directory).sample(rng, 1, len(state), keys)
    p.check("episode:keys", list(written), EXACT)
    p.check("episode:dtypes", [str(x.dtype) for x in written.values()], EXACT)
    shapes = [json.dumps(list(x.shape)) for x in written.values()]
    p.check("episode:shapes", shapes, EXACT)
    image = written.pop("image")
    _check_image(p, "episode:file_image", image)
    for name, array in written.items():
        p.check(f"episode:file_{name}", array, LAYER)
    p.check("episode:returned_reward", played["reward"][1:], LAYER)
    done = np.arange(len(played["reward"])) == len(actions)
    p.check("episode:returned_done", done[1:], EXACT)
    # The reader also adds the sum of rewards, which nothing read.
    dtypes = {name: str(x.dtype) for name, x in read.items()}
    dtypes["return"] = "float32"
    names = p.get("episode:reader_keys").tolist()
    p.check("episode:reader_dtypes", [dtypes[x] for x in names], EXACT)
    p.skip("episode:reader_return", "the sum of rewards, which nothing read")
    p.skip("episode:file_name_example", "here with index and task")
    for name in ("keys", "dtypes", "shapes", "reward", "action"):
        p.skip(f"episode:dummy_{name}", "here, `dummy` is another world")


def physics(p: Parity) -> None:
    """Rewards, states, observations and frames of every task."""
    theirs = p.get("physics:versions").tolist()
    ours = [
        f"{name} {importlib.metadata.version(name)}"
        for name in (version.split()[0] for version in theirs)
    ]
    note = "" if ours == theirs else f"{', '.join(ours)}; {', '.join(theirs)}"
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as process:
        for name in p.names("physics"):
            if name.endswith("_action"):
                task = name.removesuffix("_action")
                actions = p.get(f"physics:{name}")
                start = p.get(f"physics:{task}_state")[0]
                target = _target(p, f"physics:{task}_obs_to_target")
                formula = [
                    formula_action(t, len(x)) for t, x in enumerate(actions)
                ]
                whole = np.allclose(actions, formula, atol=1e-6)
                played = process.submit(
                    play, task, actions, start, target, whole
                ).result()
                _check_task(p, task, played, whole, note)


def _target(p: Parity, array: str) -> np.ndarray | None:
    """A reacher's target at the start, where there is one."""
    file, name = array.split(":")
    return p.get(array)[0] if name in p.names(file) else None


def _check_task(
    p: Parity, task: str, played: dict[str, Any], whole: bool, note: str
) -> None:
    prefix = f"physics:{task}"
    image = played.pop("image")
    _check_image(p, f"{prefix}_image_reset", image[0])
    _check_image(p, f"{prefix}_image_last", image[-1])
    total = [played.pop("length"), played.pop("return")]
    if whole:
        p.check(f"{prefix}_episode", total, LAYER, note=note)
    else:
        reason = "its actions after those in the folder are not known"
        p.skip(f"{prefix}_episode", reason)
    p.check(f"{prefix}_done", played.pop("done"), EXACT)
    p.check(f"{prefix}_reward", played.pop("reward"), LAYER, note=note)
    state = played.pop("physics_state")
    p.check(f"{prefix}_state", state, LAYER, note=note)
    for name, values in played.items():
        p.check(f"{prefix}_obs_{name}", values, LAYER, note=note)
    # Actions are in [-1, 1] in every world here.
    bound = np.ones_like(p.get(f"{prefix}_action")[0])
    p.check(f"{prefix}_action_low", -bound, EXACT)
    p.check(f"{prefix}_action_high", bound, EXACT)


def _check_image(p: Parity, array: str, image: np.ndarray) -> None:
    # Renderers draw edges differently.
    note = "on average; rendering is not part of parity"
    p.check(array, image, _PIXELS, average=True, note=note)


class _Given:
    """A policy that plays given actions [T, A]."""

    def __init__(self, actions: np.ndarray):
        self._actions = actions

    def reset(self, batch: int, seed: int) -> None:
        self._time = 0

    def act(self, images: np.ndarray) -> np.ndarray:
        action = self._actions[self._time]
        self._time += 1
        return action[None]
