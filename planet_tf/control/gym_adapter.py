"""Gymnasium's environments as the agent sees dm_control's, `--task=gym:NAME`.

For worker processes, see `environments.py`. Gymnasium is an extra dependency,
and imported only when such a world is made.
"""

from typing import Any, Literal

import numpy as np
from PIL import Image

from planet_tf.control import rendering
from planet_tf.control.environments import (
    Observation,
    Spec,
    checked_action,
    finite_float32,
)
from planet_tf.control.tasks import EPISODE_FRAMES, IMAGE_SHAPE

_INSTALL = "pip install 'gymnasium[mujoco,box2d]==1.4.0'"

# What the rows of an episode are called, see `episodes.py`.
_RESERVED = ("image", "action", "reward", "terminated")


class GymEnvironment:
    """An environment of Gymnasium with continuous actions.

    The image is the observation where that is one (uint8 [H, W, 3], alone or
    in a dictionary), else what `render` returns; both are scaled to `size` by
    averaging over the area of each pixel. Other arrays in the observation are
    kept as float32: `state`, or their names in a dictionary. `terminated` is 1
    where the environment has ended for good, which is not so where it was cut
    off (truncated).

    Actions in [-1, 1] are mapped to the bounds of the action space. An episode
    ends when it is terminated or truncated, and after the environment's
    `max_episode_steps` (1000 where it has none) // action_repeat decisions.

    Deviates from planet: bilinear samples instead of areas there; unbounded
    actions, which have no scale, are refused.

    Args:
        name: As for `gymnasium.make`: the id of a registered environment, or
            "module:id", which imports the module first.
        render_quality: With "fast", Gymnasium's MuJoCo environments draw
            images of `size` instead of larger ones, as in `DeepMindControl`.
        size: Height and width of the image in pixels.
        action_repeat: Steps for each decision; their rewards are summed.

    Attributes:
        spec: Sizes of actions, observations and episodes.

    Raises:
        ModuleNotFoundError: Something has to be installed first.
        ValueError: There is no such environment, or its actions are not
            continuous and bounded, or `action_repeat` is out of range.
    """

    def __init__(
        self,
        name: str,
        render_quality: Literal["original", "fast"] = "original",
        size: tuple[int, int] = IMAGE_SHAPE[:2],
        action_repeat: int = 1,
    ):
        self._env = _make(name)
        if hasattr(self._env.unwrapped, "mujoco_renderer"):
            fast = render_quality == "fast"
            _prepare_mujoco(self._env.unwrapped, size if fast else None)
        self._size = size
        self._repeat = action_repeat
        frames = self._env.spec.max_episode_steps or EPISODE_FRAMES
        if not 1 <= action_repeat <= frames:
            raise ValueError(
                f"action_repeat must be in [1, {frames}], not {action_repeat}."
            )
        self._actions = _checked_actions(name, self._env.action_space)
        self._image_name, shapes = _observations(self._env.observation_space)
        self.spec = Spec(
            action_dim=int(np.prod(self._actions.shape)),
            episode_length=frames // action_repeat,
            observations={"image": (*size, 3), **shapes, "terminated": ()},
        )
        self._decisions_left = 0

    def reset(self, seed: int) -> Observation:
        """Starts the episode that belongs to `seed`, in [0, 2**32)."""
        observation, _ = self._env.reset(seed=seed)
        self._decisions_left = self.spec.episode_length
        return self._observe(observation, terminated=False)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool]:
        """Repeats one action until the decision or the episode is over.

        Args:
            action: [A] in [-1, 1], mapped to the environment's bounds.

        Returns:
            The observation after the last repeat, the sum of the rewards, and
            whether the episode is over.

        Raises:
            FloatingPointError: An observation or the reward is not finite.
            RuntimeError: The episode is over, or has not begun.
            ValueError: The action has the wrong shape, is not finite or
                leaves [-1, 1].
        """
        action = checked_action(action, self.spec.action_dim)
        if not self._decisions_left:
            raise RuntimeError("The episode is over; call reset first.")
        space = self._actions
        low, high = space.low.astype("f8"), space.high.astype("f8")
        action = low + (high - low) * (action.reshape(space.shape) + 1) / 2
        total = 0.0
        for _ in range(self._repeat):
            # A copy, because some environments change it.
            observation, reward, terminated, truncated, _ = self._env.step(
                action.astype(space.dtype)
            )
            total += float(reward)
            if terminated or truncated:
                break
        self._decisions_left -= 1
        if terminated or truncated:
            self._decisions_left = 0
        if not np.isfinite(total):
            raise FloatingPointError(f"The reward is {total}.")
        observation = self._observe(observation, terminated)
        return observation, total, not self._decisions_left

    def close(self) -> None:
        """Releases the graphics context."""
        self._env.close()

    def _observe(self, observation: Any, terminated: bool) -> Observation:
        arrays = _named(observation)
        if self._image_name is None:
            frame = self._env.render()
        else:
            frame = arrays[self._image_name]
        if not _is_image(frame):
            raise TypeError(
                f"render() returned {_described(frame)}, not an image, uint8 "
                "[H, W, 3]."
            )
        height, width = self._size
        image = Image.fromarray(frame).resize(
            (width, height), Image.Resampling.BOX
        )
        others = set(self.spec.observations) - {"image", "terminated"}
        return {
            "image": np.array(image),
            "terminated": np.float32(terminated),
            **{name: finite_float32(name, arrays[name]) for name in others},
        }


def _make(name: str):
    """The environment, of `gymnasium.Env`."""
    try:
        import gymnasium
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"gym:{name} needs Gymnasium: {_INSTALL}"
        ) from error
    try:
        return gymnasium.make(
            name, render_mode="rgb_array", disable_env_checker=True
        )
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise ModuleNotFoundError(
            f"gym:{name} needs more packages; for Gymnasium's own "
            f"environments: {_INSTALL} ({error})"
        ) from error
    except gymnasium.error.Error as error:
        raise ValueError(f"There is no gym:{name}: {error}") from error


def _prepare_mujoco(env, fast_size: tuple[int, int] | None) -> None:
    """Chooses how frames are drawn; read when the first one is."""
    renderer = env.mujoco_renderer
    rendering.choose_backend()  # Keeps to MUJOCO_GL, if that is set.
    if fast_size:
        renderer.height, renderer.width = fast_size
        rendering.draw_fast(env.model.vis)
    # Gymnasium 1.4 looks from a fixed place, and HalfCheetah runs out of the
    # picture; the camera "track" follows it, as in the original's Gym.
    cameras = [env.model.camera(i).name for i in range(env.model.ncam)]
    if renderer.camera_id == -1 and "track" in cameras:
        renderer.camera_id = cameras.index("track")


def _checked_actions(name: str, space):
    """Returns the action space, if the agent can act in it."""
    from gymnasium.spaces import Box

    if not isinstance(space, Box) or space.dtype.kind != "f":
        raise ValueError(
            f"gym:{name} has actions {space}; PlaNet needs continuous ones, "
            "a Box of floats."
        )
    if not space.is_bounded():
        raise ValueError(
            f"gym:{name} has actions without bounds, {space}; make them "
            "finite with gymnasium.wrappers.RescaleAction or in the "
            "environment."
        )
    return space


def _observations(space) -> tuple[str | None, dict[str, tuple[int, ...]]]:
    """Which observation is the image, if any, and the shapes of the rest."""
    from gymnasium.spaces import Box, Dict

    spaces = _named(space.spaces if isinstance(space, Dict) else space)
    boxes = {k: box for k, box in spaces.items() if isinstance(box, Box)}
    images = [k for k, box in boxes.items() if _is_image(box)]
    shapes = {
        name: box.shape
        for name, box in boxes.items()
        if name not in (*images, *_RESERVED)
    }
    return (images[0] if images else None), shapes


def _named(observation: Any) -> dict[str, Any]:
    """A dictionary as it is; anything else under the original's name."""
    if isinstance(observation, dict):
        return observation
    return {"state": observation}


def _is_image(like: Any) -> bool:
    """Whether an array, or a space, holds colour images."""
    shape, dtype = getattr(like, "shape", ()), getattr(like, "dtype", None)
    return dtype == np.uint8 and len(shape) == 3 and shape[2] == 3


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}"
