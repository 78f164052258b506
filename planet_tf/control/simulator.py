"""A task's physics without a camera, which can look ahead from any moment.

For planning with the true dynamics instead of learned ones: the return that
the planner reaches with a perfect model. Create and use it in a worker
process, as every world.

Shape letters: N candidates, H horizon, A action.
"""

import os

import numpy as np

from planet_tf.control.dm_control_adapter import DeepMindControl
from planet_tf.control.environments import Observation
from planet_tf.control.rewards import Steps, get_reward
from planet_tf.control.tasks import get_task


class Simulator(DeepMindControl):
    """The world of a task, seen as the simulator's own state.

    Plays as `DeepMindControl` does, but an observation is where `rollout` can
    start: `physics`, MuJoCo's time, positions and velocities, and `warmstart`,
    from where its solver searches; without that a repeated step differs in its
    last digits.

    Rollouts run inside MuJoCo, without Python for each step, and rewards are
    computed for all of them at once. Microseconds for a simulator step and its
    reward, and with dm_control's own loop (one core of an AMD EPYC, beside
    other jobs):

                   rollout  dm_control
        cartpole        13         287
        reacher          4         143
        cheetah         13         161
        finger          19         133
        cup             65         159
        walker         132         377

    Args:
        task_name: As for `rewards.get_reward`.
        action_repeat: Replaces the task's.

    Raises:
        ValueError: There is no such task, or no reward for arrays.
    """

    def __init__(self, task_name: str, action_repeat: int | None = None):
        self._reward = get_reward(task_name)
        # Nothing is drawn, and looking for a graphics library takes time.
        os.environ.setdefault("MUJOCO_GL", "disable")
        super().__init__(get_task(task_name), action_repeat=action_repeat)
        import mujoco
        from mujoco import rollout

        physics = self._env.physics
        self._signature = mujoco.mjtState.mjSTATE_FULLPHYSICS.value
        self._substeps = round(
            self._env.control_timestep() / physics.timestep()
        )
        self._rollout = rollout.Rollout(nthread=0)
        # Rollouts share the model, in which some tasks place their target at
        # reset, but not the data, which is the episode being played.
        self._scratch = mujoco.MjData(physics.model.ptr)
        self.spec = self.spec._replace(
            observations={
                name: array.shape for name, array in self._observe({}).items()
            }
        )

    def rollout(self, request: tuple[Observation, np.ndarray]) -> np.ndarray:
        """Tries actions without carrying them out.

        Args:
            request: An observation of the episode that was last reset, and
                actions [N, H, A] in [-1, 1]; one tuple, because workers pass
                one argument.

        Returns:
            The rewards [N, H], float64, that `step` would give. They go on
            beyond the end of the episode.
        """
        state, actions = request
        N, H, _ = actions.shape
        physics, every = self._env.physics, self._substeps
        control = self._center + self._reach * np.clip(
            actions.astype(np.float64), -1, 1
        )
        control = np.repeat(control, self._repeat * every, axis=1)
        states, sensors = self._rollout.rollout(
            physics.model.ptr,
            self._scratch,
            state["physics"],
            # A step more, because what is recorded as the sensors after a step
            # are those before it.
            np.concatenate([control, control[:, -1:]], axis=1),
            initial_warmstart=state["warmstart"],
        )
        states = states[:, every - 1 : -1 : every, 1:]  # Without the time.
        nq, nv = physics.model.nq, physics.model.nv
        steps = Steps(
            qpos=states[..., :nq],
            qvel=states[..., nq : nq + nv],
            sensors=sensors[:, every::every],
            control=control[:, ::every],
        )
        rewards = self._reward(physics, steps)
        return rewards.reshape([N, H, self._repeat]).sum(axis=2)

    def _observe(self, arrays: dict[str, np.ndarray]) -> Observation:
        physics = self._env.physics
        return {
            "physics": physics.get_state(self._signature),
            "warmstart": physics.data.qacc_warmstart.copy(),
        }
