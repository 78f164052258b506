"""dm_control's tasks as the agent sees them, through a camera.

For worker processes, see `environments.py`.
"""

import importlib.metadata
import os
from typing import Literal

import numpy as np

from planet_tf.control import rendering
from planet_tf.control.environments import (
    Observation,
    Spec,
    checked_action,
    finite_float32,
)
from planet_tf.control.tasks import EPISODE_FRAMES, IMAGE_SHAPE, Task

# Nearly every mujoco release breaks some dm_control release.
_PINS = {"dm_control": "1.0.50", "mujoco": "3.17.0"}


class DeepMindControl:
    """A dm_control task as the original's wrappers present it.

    Observations hold `image`, uint8 [H, W, 3], and the task's own arrays as
    float32. The action is repeated and the rewards are summed, so that a
    decision is worth up to `action_repeat`. An episode ends after
    1000 // action_repeat decisions (original `control/wrappers.py`).

    Rendering in software takes most of the time. "fast" draws with a shadow
    map of 256 instead of 2048 texels and without multisampling: in a fifth of
    the time, with a mean difference of 1 on a scale of 255
    (`python -m scripts.compare_rendering`).

    Loads the task when made, and chooses a graphics backend if MUJOCO_GL is not
    set yet.

    Args:
        task: As `tasks.get_task` returns it.
        render_quality: "original" is dm_control's default.
        size: Height and width of the image in pixels.
        action_repeat: Replaces the task's; also changes the number of decisions
            in an episode.
        camera: Replaces the task's.

    Attributes:
        spec: Sizes of actions, observations and episodes.

    Raises:
        ValueError: An argument is out of range.
        RuntimeError: No image can be rendered, or dm_control and mujoco do not
            fit together.
    """

    def __init__(
        self,
        task: Task,
        render_quality: Literal["original", "fast"] = "original",
        size: tuple[int, int] = IMAGE_SHAPE[:2],
        action_repeat: int | None = None,
        camera: int | None = None,
    ):
        self._repeat = (
            task.action_repeat if action_repeat is None else action_repeat
        )
        if not 1 <= self._repeat <= EPISODE_FRAMES:
            raise ValueError(
                f"action_repeat must be in [1, {EPISODE_FRAMES}], "
                f"not {self._repeat}."
            )
        if render_quality not in ("original", "fast"):
            raise ValueError(
                "render_quality must be 'original' or 'fast', "
                f"not {render_quality!r}."
            )
        self._env = _load(task)
        self._size = size
        self._camera = task.camera if camera is None else camera
        cameras = self._env.physics.model.ncam
        if not -1 <= self._camera < cameras:
            raise ValueError(
                f"camera {self._camera}: {task.domain} {task.name} has only "
                f"-1 (free) to {cameras - 1}."
            )
        # These take effect because the graphics context is made at the first
        # frame. A buffer of the image's own size does not change a pixel.
        visual = self._env.physics.model.vis
        visual.global_.offheight, visual.global_.offwidth = size
        if render_quality == "fast":
            rendering.draw_fast(visual)
        actions = self._env.action_spec()
        self._center = (actions.maximum + actions.minimum) / 2
        self._reach = (actions.maximum - actions.minimum) / 2
        arrays = self._env.observation_spec().items()
        self.spec = Spec(
            action_dim=actions.shape[0],
            episode_length=EPISODE_FRAMES // self._repeat,
            observations={
                "image": (*size, 3),
                **{name: tuple(array.shape) for name, array in arrays},
            },
        )
        self._decisions_left = 0
        self._view = None

    def reset(self, seed: int) -> Observation:
        """Starts the episode that belongs to `seed`.

        Args:
            seed: In [0, 2**32). With the same actions, the same seed gives
                the same images and rewards bit by bit, whatever was played
                before.

        Raises:
            ValueError: `seed` is out of range.
        """
        # Deviates from planet: it never seeds its simulators.
        self._env.task.random.seed(seed)
        self._decisions_left = self.spec.episode_length
        return self._observe(self._env.reset().observation)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Repeats one action until the decision or the episode is over.

        Args:
            action: [A] in [-1, 1]. Spread over the actuators' own bounds
                where these are others (only in dm_control's quadruped).

        Returns:
            The observation after the last repeat, the sum of the rewards, and
            whether the episode is over.

        Raises:
            ValueError: The action has the wrong shape, is not finite or
                leaves [-1, 1].
            RuntimeError: The episode is over, or has not begun.
            FloatingPointError: An observation or the reward is not finite.
        """
        action = checked_action(action, self.spec.action_dim)
        if not self._decisions_left:
            raise RuntimeError("The episode is over; call reset first.")
        action = self._center + self._reach * action
        reward = 0.0
        for _ in range(self._repeat):
            time_step = self._env.step(action)
            reward += time_step.reward
            if time_step.last():
                break
        self._decisions_left -= 1
        if time_step.last():
            self._decisions_left = 0
        if not np.isfinite(reward):
            raise FloatingPointError(f"The reward is {reward}.")
        observation = self._observe(time_step.observation)
        return observation, float(reward), not self._decisions_left

    def render(self) -> np.ndarray:
        """The world as it is now, uint8 [H, W, 3]."""
        if self._view is None:
            from dm_control import mujoco

            # `physics.render` would make one for every frame.
            self._view = mujoco.Camera(
                self._env.physics, *self._size, self._camera
            )
        return np.array(self._view.render(), np.uint8)

    def close(self) -> None:
        """Releases the graphics context."""
        self._env.close()

    def _observe(self, arrays: dict[str, np.ndarray]) -> Observation:
        observation = {"image": self.render()}
        for name, array in arrays.items():
            observation[name] = finite_float32(name, array)
        return observation


def _load(task: Task):
    if not os.environ.get("MUJOCO_GL"):
        rendering.choose_backend()
    from absl import logging
    from dm_control import suite

    verbosity = logging.get_verbosity()
    # cheetah.xml uses an attribute that MuJoCo calls deprecated every time.
    logging.set_verbosity(logging.ERROR)
    try:
        return suite.load(task.domain, task.name)
    except AttributeError as error:
        found = [f"{name} {importlib.metadata.version(name)}" for name in _PINS]
        pins = " ".join(f"{name}=={pin}" for name, pin in _PINS.items())
        raise RuntimeError(
            f"{' and '.join(found)} do not fit together ({error}). "
            f"Tested: pip install {pins}"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
