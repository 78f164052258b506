"""Each fault is planted into a world that is fine without it."""

import re
import time

import numpy as np
import pytest

from planet_tf.control.check_env import check_env, glance
from planet_tf.control.environments import Spec
from scripts import check_env as script

SPEC = Spec(2, 12, {"image": (64, 64, 3), "speed": ()})


class Fine:
    """Actions add up in pixels and rewards; the seed says where to start."""

    spec = SPEC

    def reset(self, seed):
        self.value = np.random.default_rng(seed).uniform(0, 1)
        self.left = 12
        return self.observe()

    def step(self, action):
        self.value += np.sum(action)
        self.left -= 1
        return self.observe(), float(self.value), self.left == 0

    def observe(self):
        image = np.full([64, 64, 3], 50, np.uint8)
        image[:9] = np.uint8(abs(self.value) * 97 % 256)
        return {"image": image, "speed": np.float32(self.value)}

    def close(self):
        self.closed = True


def replaced(name, change):
    """A fine world, of which one observation is changed."""

    class World(Fine):
        def observe(self):
            observation = super().observe()
            return {**observation, name: change(observation[name])}

    return World


def stepped(change):
    """A fine world, of which the result of `step` is changed."""

    class World(Fine):
        def step(self, action):
            return change(*super().step(action))

    return World


def with_spec(**changes):
    return type("World", (Fine,), {"spec": SPEC._replace(**changes)})


class NoSpec(Fine):
    spec = None


class Gym(Fine):
    action_space = "Box"


class FailsAtReset(Fine):
    def reset(self, seed):
        raise KeyError("no such map")


class FailsInTheCorner(Fine):
    def step(self, action):
        if np.all(np.abs(action) == 1):
            raise ValueError("joint limit")
        return super().step(action)


class Unseeded(Fine):
    def reset(self, seed):
        return super().reset(None)


class NoiseInSteps(Fine):
    rng = np.random.default_rng(0)

    def step(self, action):
        return super().step(action + 0.1 * self.rng.normal(size=2))


class RemembersTheLastEpisode(Fine):
    episodes = 0

    def reset(self, seed):
        self.episodes += 1
        super().reset(seed)
        self.value += self.episodes
        return self.observe()


class IgnoresActions(Fine):
    def step(self, action):
        return super().step(0.1 * np.ones_like(action))


class ChangesItsArgument(Fine):
    def step(self, action):
        result = super().step(action)
        action *= 0.5
        return result


class SlowToDraw(Fine):
    def observe(self):
        time.sleep(0.02)
        return super().observe()


NeverDone = stepped(lambda obs, reward, done: (obs, reward, False))


class EndsEarly(Fine):
    def step(self, action):
        observation, reward, _ = super().step(action)
        return observation, reward, self.left == 8


class Truncated(EndsEarly):
    spec = SPEC._replace(
        action_dim=np.int64(2),
        observations={**SPEC.observations, "terminated": ()},
    )

    def observe(self):
        return {**super().observe(), "terminated": np.float32(0)}


FAULTS = [
    (NoSpec, "`spec` has to be"),
    (Gym, "This is a Gymnasium environment"),
    (with_spec(action_dim=0), "spec.action_dim is 0"),
    (with_spec(episode_length=None), "spec.episode_length is None"),
    (with_spec(observations={"speed": ()}), r"\['image'\] is None, not \(64"),
    (with_spec(observations={"image": (64, 64)}), r"is \(64, 64\), not \(64"),
    (with_spec(observations={"image": (64, 64, 3), "action": (2,)}),
     "is called 'action'"),
    (with_spec(observations={"image": (64, 64, 3), "terminated": (2,)}),
     r"\['terminated'\] is not \(\)"),
    (FailsAtReset, r"reset\(0\) raises KeyError: 'no such map'"),
    (FailsInTheCorner, r"step\(\[.*1.0.*\]\) raises ValueError: joint limit"),
    (replaced("image", np.float32), "image is float32, not uint8"),
    (replaced("image", lambda x: x[:48]), r"shape \(48, 64, 3\), not \(64"),
    (replaced("image", lambda x: x.tolist()), "image is int64, not uint8"),
    (replaced("image", lambda x: None), "returns no image"),
    (replaced("image", lambda x: x[:0]), "returns no image"),
    (replaced("image", lambda x: x // 255), "of one colour"),
    (replaced("image", lambda x: x // 50 % 2), "from 0 to 1, not from 0"),
    (replaced("image", lambda x: np.eye(64, 192, dtype=np.uint8).reshape(
        64, 64, 3) * 255), "never changes"),
    (replaced("speed", float), "speed is float64, not float32"),
    (replaced("speed", lambda x: np.float32([x, x])), r"\(2,\), not \(\)"),
    (replaced("speed", lambda x: np.float32(np.inf)), "speed is not finite"),
    (with_spec(observations={"image": (64, 64, 3)}), r"spec.observations has"),
    (stepped(lambda obs, reward, done: (obs["image"], reward, done)),
     "a ndarray as the observation"),
    (replaced("speed", lambda x: np.float32("nan")), "speed is not finite"),
    (stepped(lambda obs, reward, done: (obs, float("nan"), done)),
     "nan, not finite"),
    (stepped(lambda obs, reward, done: (obs, None, done)), "None, not a numb"),
    (stepped(lambda obs, reward, done: (obs, reward, done, {})), "4 values"),
    (stepped(lambda obs, reward, done: obs), "a dict, not the three"),
    (stepped(lambda obs, reward, done: (obs, reward, int(done))),
     "`done` is of type int"),
    (stepped(lambda obs, reward, done: (obs, reward, not done)), "inverted"),
    (Unseeded, "same seed starts another"),
    (RemembersTheLastEpisode, "same seed starts another"),
    (NoiseInSteps, "same seed and actions lead to another"),
    (IgnoresActions, "change neither"),
    (ChangesItsArgument, "changes its argument"),
]  # fmt: skip


def test_nothing_is_wrong_with_a_fine_world():
    problems, summary = check_env(Fine())
    assert problems == []
    assert "12 of at most 12 decisions" in summary


@pytest.mark.parametrize(("world", "message"), FAULTS)
def test_planted_fault_is_found(world, message):
    """By name, in one line, and without complaints about anything else."""
    problems, _ = check_env(world())
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    assert re.search(message, problems[0]), problems


def test_slow_world():
    problems, _ = check_env(SlowToDraw(), slow=0.01)
    assert len(problems) == 1 and "It is slow: 2" in problems[0]
    assert not check_env(SlowToDraw())[0]


def test_episodes_that_end_early_are_fine():
    world = stepped(lambda o, r, d: (o, r, d or abs(r) > 1.5))
    problems, summary = check_env(world())
    assert problems == []
    assert "of at most 12 decisions" in summary and "12 of" not in summary


def test_all_problems_are_named():
    world = stepped(lambda obs, reward, done: (obs, np.inf, 0))
    assert len(check_env(world())[0]) == 2  # Reward and `done`.
    world = replaced("image", lambda x: x.astype(np.float32) / 255)
    assert len(check_env(world())[0]) == 2  # Type and range.


@pytest.mark.parametrize(
    "world, problem",
    [
        (Fine, ""),
        # Is recorded as float32.
        (replaced("speed", float), ""),
        (stepped(lambda obs, reward, done: (obs, reward, int(done))), ""),
        (replaced("image", np.float32), "image is float32, not uint8"),
        (stepped(lambda *result: (*result, {})), "4 values"),
        (FailsAtReset, "no such map"),
    ],
)
def test_glance(world, problem):
    """What training would fail with, and nothing else."""
    found = glance(world())
    assert problem in found and bool(problem) == bool(found)


@pytest.mark.parametrize(
    ("task", "status", "line"),
    [
        ("dummy", 0, "dummy: all is well. 250 of at most 250"),
        ("tests.test_check_env:Fine", 0, "ms a decision. It was cut off there"),
        ("tests.test_check_env:NeverDone", 0, "It was cut off there"),
        ("tests.test_check_env:EndsEarly", 0, "all is well. 4 of at most 12"),
        ("tests.test_check_env:EndsEarly", 0, "ms a decision. It terminated"),
        (
            "tests.test_check_env:Truncated",
            0,
            "ms a decision. It was cut off there",
        ),
        ("tests.test_check_env:NoSpec", 2, "`spec` has to be a planet_tf"),
        ("tests.test_check_env:Gym", 2, "This is a Gymnasium environment"),
        ("tests.test_check_env:Unseeded", 1, "1 problem(s)"),
        ("tests.test_check_env:Nothing", 2, "has no attribute 'Nothing'"),
        ("no_module:World", 2, "No module named 'no_module'"),
        ("cup_cath", 2, "Did you mean 'cup_catch'?"),
        ("gym:", 2, "write gym:NAME or module:CONSTRUCTOR"),
    ],
)
def test_command(capsys, task, status, line):
    assert script.main([task]) == status
    output = capsys.readouterr()
    assert line in (output.err if status == 2 else output.out)
