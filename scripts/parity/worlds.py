"""Recorded episodes, and the simulated rewards and states of every task."""

import functools
import importlib.metadata
import json
import tempfile

import numpy as np

from planet_tf.control.episodes import collect
from planet_tf.control.workers import Worker
from planet_tf.tools.replay import Replay
from scripts.parity.probe import Probe
from scripts.parity.report import EXACT, LAYER, Parity

_EPISODE_TASK = "cartpole_balance"
_SEEDS = 100  # how many to try

# Of 255, on average. Renderers differ on edges by much more.
_PIXELS = 2.0


def episode(p: Parity) -> None:
    """An episode as it is played, written and read."""
    actions = p.get("episode:sent_action")
    state = p.get("episode:physics_state")
    constructor = functools.partial(
        Probe, _EPISODE_TASK, decisions=len(actions)
    )
    with Worker(constructor) as worker:
        seed = _seed(worker, state[0])
        (played,) = collect([worker], _Given(actions), [seed])
    note = _versions(p)
    p.check("episode:physics_state", played.pop("physics_state"), LAYER, note=note)
    with tempfile.TemporaryDirectory() as directory:
        path = Replay(directory).add(played, _EPISODE_TASK)
        with np.load(path) as arrays:
            written = {name: arrays[name] for name in sorted(arrays.files)}
        read = Replay(directory).sample(
            np.random.default_rng(0), 1, len(state), sorted(written)
        )
    p.check("episode:keys", list(written), EXACT)
    p.check("episode:dtypes", [str(x.dtype) for x in written.values()], EXACT)
    shapes = [json.dumps(list(x.shape)) for x in written.values()]
    p.check("episode:shapes", shapes, EXACT)
    for name, array in written.items():
        if name == "image":
            _check_image(p, "episode:file_image", array)
        else:
            p.check(f"episode:file_{name}", array, LAYER, note=note)
    p.check("episode:returned_reward", played["reward"][1:], LAYER, note=note)
    done = np.arange(1, len(actions) + 1) == len(played["reward"]) - 1
    p.check("episode:returned_done", done, EXACT)
    types = {name: str(x.dtype) for name, x in read.items()}
    types["return"] = "float32"
    names = p.get("episode:reader_keys").tolist()
    p.check("episode:reader_dtypes", [types[x] for x in names], EXACT)
    p.skip("episode:reader_return", "the model never used it; not added here")
    p.skip("episode:file_name_example", "names begin with index and task here")
    for name in ("keys", "dtypes", "shapes", "reward", "action"):
        p.skip(f"episode:dummy_{name}", "there is no dummy world here")


def physics(p: Parity) -> None:
    """Rewards, states, observations and frames under given actions."""
    p.get("physics:versions")
    for name in p.names("physics"):
        if name.endswith("_action"):
            _physics(p, name.removesuffix("_action"))


def _physics(p: Parity, task: str) -> None:
    actions = p.get(f"physics:{task}_action")
    state = p.get(f"physics:{task}_state")
    prefix, note = f"physics:{task}", _versions(p)
    # Small frames for the whole episode, of which nobody looks at them.
    small = functools.partial(
        Probe, task, render_quality="fast", size=(8, 8)
    )
    with Worker(functools.partial(Probe, task)) as worker, Worker(small) as fast:
        seed = _seed(fast, state[0])
        rows = [(worker.reset(seed)(), 0.0, False)]
        rows += [worker.step(action)() for action in actions]
        whole, = collect([fast], _Given(_formula(actions, fast.spec.episode_length)), [seed])
    observations, rewards, done = zip(*rows, strict=True)
    p.check(f"{prefix}_reward", rewards[1:], LAYER, note=note)
    p.check(f"{prefix}_done", done[1:], EXACT)
    for name in observations[0]:
        values = np.stack([x[name] for x in observations])
        if name == "image":
            _check_image(p, f"{prefix}_image_reset", values[0])
            _check_image(p, f"{prefix}_image_last", values[-1])
        elif name == "physics_state":
            p.check(f"{prefix}_state", values, LAYER, note=note)
        else:
            p.check(f"{prefix}_obs_{name}", values, LAYER, note=note)
    total = [len(whole["reward"]) - 1, whole["reward"].sum()]
    p.check(f"{prefix}_episode", total, LAYER, note=note)
    bound = np.ones(worker.spec.action_dim)
    p.check(f"{prefix}_action_low", -bound, EXACT)
    p.check(f"{prefix}_action_high", bound, EXACT)
