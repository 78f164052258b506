"""A dm_control task that also shows its physics; free of TensorFlow."""

from typing import Any

import numpy as np

from planet_tf.control.environments import DeepMindControl
from planet_tf.control.tasks import get_task


class Probe(DeepMindControl):
    """Adds `physics_state` (positions, velocities, activations).

    Args:
        task: By name.
        decisions: Ends episodes earlier.
        options: Of `DeepMindControl`.
    """

    def __init__(self, task: str, decisions: int | None = None, **options: Any):
        super().__init__(get_task(task), **options)
        if decisions:
            self.spec = self.spec._replace(episode_length=decisions)

    def _observe(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        observation = super()._observe(arrays)
        return {
            **observation,
            "physics_state": self._env.physics.get_state().copy(),
        }
