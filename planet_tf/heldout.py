"""A run's model on the run's held-out episodes; for commands, after training.

Nothing in the run's folder is changed, so the run may still be going.
"""

import math

from planet_tf import build
from planet_tf.control.tasks import label
from planet_tf.run_folder import Run
from planet_tf.tools.replay import KEYS, Replay, row_shapes
from planet_tf.training.evaluation import Holdout, holdouts

_BATCH = 20  # Sequences at a time.


def predict(run: Run, sequences: int, seed: int = 0) -> dict[str, Holdout]:
    """See `holdout`, by task.

    Args:
        run: From `run_folder.find`.
        sequences: Of each task; up to 20 are one batch, and more are rounded
            up to equal batches.
        seed: The same seed, the same sequences and noise, as long as the run
            has the same held-out episodes.

    Raises:
        ValueError: The checkpoint cannot be read, or there is no held-out
            episode of more than 5 rows.
    """
    model = build.restored(run)
    replay = Replay(
        run.logdir / "test_episodes",
        read_only=True,
        rows=row_shapes(
            run.action_dim, run.observations, (*KEYS, *model.diagnostics)
        ),
    )
    tasks = [label(task) for task in run.config.tasks]
    count = math.ceil(sequences / _BATCH)
    batch = math.ceil(sequences / count)
    return holdouts(model, replay, tasks, count, batch, seed)
