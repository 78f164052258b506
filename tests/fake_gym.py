"""Small Gymnasium environments; importing this module registers them.

In a module of its own, so that tests run without Gymnasium too, and so that
`gym:tests.fake_gym:FakeCounter-v0` can be made in any process.
"""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

FRAME = np.zeros([128, 192, 3], np.uint8)
"""What `Counter` draws: black, white in the lower right quarter."""
FRAME[64:, 96:] = 255


class Counter(gymnasium.Env):
    """Counts its steps in state and reward, and keeps the actions it gets."""

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = Box(-np.inf, np.inf, [2], np.float64)
    action_space = Box(
        np.array([-1, 0], np.float32), np.array([3, 0.5], np.float32)
    )

    def __init__(self, render_mode=None, ends=None):
        self.render_mode = render_mode
        self.actions = []
        self.rendered = 0
        self.reward = None
        self._ends = ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        self.start = self.np_random.random()
        return np.array([self.time, self.start]), {}

    def step(self, action):
        self.actions.append(action.copy())
        action *= 0  # The caller's array has to survive this.
        self.time += 1
        reward = self.time if self.reward is None else self.reward
        state = np.array([self.time, self.start])
        return state, reward, self.time == self._ends, False, {}

    def render(self):
        self.rendered += 1
        return FRAME


class SeesPictures(Counter):
    """The observation holds the picture, and cannot be rendered."""

    observation_space = Dict(
        {
            "camera": Box(0, 255, [96, 96, 3], np.uint8),
            "speed": Box(-1, 1, [], np.float32),
            "gear": Discrete(3),
            "reward": Box(0, 1, [], np.float32),
        }
    )

    def _observe(self):
        picture = np.full([96, 96, 3], self.time, np.uint8)
        return {"camera": picture, "speed": 0.5, "gear": 2, "reward": 0}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        return self._observe(), *super().step(action)[1:]

    def render(self):
        raise NotImplementedError


class Unbounded(Counter):
    action_space = Box(-np.inf, np.inf, [2])


class Buttons(Counter):
    action_space = Discrete(4)


class Blind(Counter):
    def render(self):
        return None


_DEFAULT = {"max_episode_steps": 10}
_FALLS = {"max_episode_steps": 1000, "kwargs": {"ends": 70}}
for name, constructor, options in [
    ("FakeCounter-v0", Counter, _DEFAULT),
    ("FakeShort-v0", Counter, {**_DEFAULT, "kwargs": {"ends": 3}}),
    (
        "FakeFalls-v0",
        Counter,
        {"max_episode_steps": 1000, "kwargs": {"ends": 70}},
    ),
    ("FakeEndless-v0", Counter, {}),
    ("FakeSeesPictures-v0", SeesPictures, _DEFAULT),
    ("FakeUnbounded-v0", Unbounded, _DEFAULT),
    ("FakeButtons-v0", Buttons, _DEFAULT),
    ("FakeBlind-v0", Blind, _DEFAULT),
]:
    gymnasium.register(name, constructor, **options)
