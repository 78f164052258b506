"""Small worlds without a simulator, for tests. All can be pickled.

None of them renders, so a test that uses them runs in milliseconds, needs no
graphics library and may share its process with TensorFlow.
"""

import os
import signal
import time

import numpy as np

from planet_tf.control.environments import Spec


class FrameIndexWorld:
    """Writes the index of the step into every pixel and into the reward.

    After `reset` all pixels are 0; step t (from 1) returns an image full of
    t, the reward float(t), and is done at t == length. An episode that is off
    by one anywhere shows it.
    """

    def __init__(self, length: int = 10, action_dim: int = 2):
        """Makes a world of `length` decisions; images hold t modulo 256."""
        self.spec = Spec(action_dim, length, {"image": (64, 64, 3)})
        self.seed = None
        self.actions = []
        self._time = 0

    def reset(self, seed: int) -> dict[str, np.ndarray]:
        """Starts an episode and remembers `seed` as an attribute."""
        self.seed = seed
        self.actions = []
        self._time = 0
        return self._observation()

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool]:
        """Moves on by one step, whatever the action [A]."""
        if np.shape(action) != (self.spec.action_dim,):
            raise ValueError(f"Bad action shape {np.shape(action)}.")
        self.actions.append(np.array(action))
        self._time += 1
        done = self._time == self.spec.episode_length
        return self._observation(), float(self._time), done

    def close(self) -> None:
        """Does nothing; there is nothing to release."""

    def _observation(self) -> dict[str, np.ndarray]:
        return {"image": np.full((64, 64, 3), self._time % 256, np.uint8)}


class SeededWorld(FrameIndexWorld):
    """Pixels and rewards drawn from the seed: same seed, same episode."""

    def reset(self, seed: int) -> dict[str, np.ndarray]:
        """Starts the episode that belongs to `seed`."""
        self._random = np.random.default_rng(seed)
        return super().reset(seed)

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool]:
        """Returns a random image and the sum of action and noise."""
        _, _, done = super().step(action)
        reward = float(np.sum(action) + self._random.normal())
        return self._observation(), reward, done

    def _observation(self) -> dict[str, np.ndarray]:
        return {"image": self._random.integers(0, 256, (64, 64, 3), np.uint8)}


class _FailingWorld(FrameIndexWorld):
    def __init__(self, fail_at: int = 2, length: int = 10, action_dim: int = 2):
        """Makes a world that fails at step `fail_at`, counted from 1."""
        super().__init__(length, action_dim)
        self._fail_at = fail_at

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool]:
        """Like its parent, until the failure."""
        result = super().step(action)
        if self._time == self._fail_at:
            self._fail()
        return result

    def _fail(self) -> None:
        raise NotImplementedError


class CrashingWorld(_FailingWorld):
    """Raises ValueError at step `fail_at`."""

    def _fail(self) -> None:
        raise ValueError("the simulator exploded")


class HangingWorld(_FailingWorld):
    """Never returns from step `fail_at`."""

    def _fail(self) -> None:
        while True:
            time.sleep(60)


class KilledWorld(_FailingWorld):
    """Its process dies at step `fail_at`, as when memory runs out."""

    def _fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class FlakyWorld(SeededWorld):
    """Like SeededWorld, but its process fails in the first few episodes.

    Args:
        path: A file that counts the episodes, one byte each.
        failures: Episodes that fail, at their second step.
        ending: "die", "hang" or "raise".
    """

    def __init__(self, path: str, failures: int, ending: str):
        """Makes a world of four decisions."""
        super().__init__(length=4)
        self._path = path
        self._failures = failures
        self._ending = ending

    def reset(self, seed: int) -> dict[str, np.ndarray]:
        """Counts the episode, also for the processes that come after."""
        with open(self._path, "ab") as file:
            file.write(b"x")
            self._episode = file.tell()
        return super().reset(seed)

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool]:
        """Like its parent, until the failure."""
        if self._time == 1 and self._episode <= self._failures:
            if self._ending == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._ending == "hang":
                time.sleep(600)
            raise ValueError("the simulator exploded")
        return super().step(action)
