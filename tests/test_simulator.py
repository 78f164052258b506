"""Rollouts against really playing; rewards for arrays against dm_control's.

Worlds live in workers, which import this module: no TensorFlow here.
"""

import functools

import numpy as np
import pytest

from planet_tf.control.rewards import Steps, get_reward
from planet_tf.control.simulator import Simulator
from planet_tf.control.tasks import TASKS
from planet_tf.control.workers import Worker

# Center and spread of positions, and spread of velocities, that dm_control
# rewards now and then.
_POSES = {
    "cartpole_balance": (0, 1, 3),
    "cartpole_swingup": (0, 1, 3),
    "cheetah_run": (0, 0.1, 3),
    "cup_catch": ([0, 0, 0, 0.35], 0.03, 0.1),  # The ball near the target.
    "finger_spin": (0, 0.3, [1, 1, 300]),
    "reacher_easy": (0, 2, 1),
    "walker_walk": (0, 0.2, 1),
}


class Posed(Simulator):
    """A simulator that can be put into random poses."""

    def __init__(self, name):
        """Takes the name of the task."""
        super().__init__(name)
        self._poses = _POSES[name]

    def pose(self, rng):
        """Moves everything; returns dm_control's reward there."""
        physics, (center, spread, speed) = self._env.physics, self._poses
        data = physics.data
        data.qpos[:] = rng.normal(center, spread, data.qpos.shape)
        data.qvel[:] = rng.normal(0, speed, data.qvel.shape)
        data.ctrl[:] = rng.uniform(-1, 1, data.ctrl.shape)
        physics.forward()
        return self._env.task.get_reward(physics)

    def start(self, seed):
        """Begins an episode near a pose that has reward."""
        rng = np.random.default_rng(seed)
        self.reset(seed)
        while not self.step(np.zeros(self.spec.action_dim))[1] > 0:
            self.reset(seed)
            self.pose(rng)
        return self._observe({})

    def compare(self, seed):
        """Our rewards and dm_control's in poses: [2, 500]."""
        rng, data = np.random.default_rng(seed), self._env.physics.data
        self.reset(seed)
        theirs, steps = [], []
        for _ in range(500):
            theirs.append(self.pose(rng))
            arrays = data.qpos, data.qvel, data.sensordata, data.ctrl
            steps.append([np.array(array) for array in arrays])
        steps = Steps(*map(np.stack, zip(*steps, strict=True)))
        return np.stack([self._reward(self._env.physics, steps), theirs])


@pytest.fixture(scope="module", params=TASKS)
def world(request):
    with Worker(functools.partial(Posed, request.param)) as worker:
        yield worker


def test_rewards_are_dm_controls(world):
    """A wrong constant, joint or sign in any formula."""
    ours, theirs = world.call("compare", 0)()
    assert theirs.std() > 0.01  # Some poses are worth more than others.
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_rollouts_are_what_really_happens(world):
    """An incomplete state, stale sensors, a step too many, leaks of any kind.

    Looks ahead from several moments of an episode to its 90th decision.
    """
    shape = [3, 90, world.spec.action_dim]
    actions = np.random.default_rng(1).uniform(-1, 1, shape)
    actions = actions.astype(np.float32)
    state = world.call("start", 5)()
    predicted, rewards = {}, []
    for t in range(90):
        if t in (0, 1, 30):
            request = state, actions[:, t:]
            predicted[t] = world.call("rollout", request)()[1]
        state, reward, _ = world.step(actions[1, t])()
        rewards.append(reward)
    assert np.sum(rewards) > 0
    for t, expected in predicted.items():
        np.testing.assert_allclose(expected, rewards[t:], rtol=0, atol=1e-13)


def test_both_spellings_of_a_task():
    assert get_reward("ball_in_cup-catch") is get_reward("cup_catch")


@pytest.mark.parametrize("name", ["cup_cach", "hopper-hop"])
def test_tasks_without_reward(name):
    with pytest.raises(ValueError, match="cup_catch.*walker_walk") as error:
        get_reward(name)
    assert "\n" not in str(error.value)
