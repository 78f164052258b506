"""How good the model's predictions are on episodes it was not trained on."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from planet_tf.models.world_model import WorldModel
from planet_tf.tools.summaries import open_loop_video
from planet_tf.training.schedule import CONTEXT

_SEQUENCES = 6  # Side by side in a video.


def holdout(
    model: WorldModel,
    batches: Iterable[dict[str, np.ndarray]],
    seed: np.ndarray,
) -> tuple[dict[str, float], np.ndarray]:
    """Losses on held-out sequences, and predictions without observations.

    Args:
        model: The world model.
        batches: Of image uint8 [B, T, 64, 64, 3], action [B, T, A] and reward
            [B, T], T > 5; one at least.
        seed: int32 [2].

    Returns:
        Means over the batches by name: `test/<name>` for the scalars of
        `WorldModel.loss` (closed loop), and the mean absolute errors
        `open_loop/image` (pixels in [0, 1]) and `open_loop/reward` over the
        predicted steps. Then a video of some of the last batch's sequences,
        see `open_loop_video`.
    """
    scores = []
    for batch in batches:
        batch = {key: tf.constant(value) for key, value in batch.items()}
        predictions, losses = model.open_loop(batch, tf.constant(seed), CONTEXT)
        truth = predictions["truth"].numpy()
        image = predictions["image"].numpy()
        reward = (predictions["reward"] - batch["reward"]).numpy()
        scores.append(
            {
                **{f"test/{k}": float(v) for k, v in losses.items()},
                "open_loop/image": np.abs(image - truth)[:, CONTEXT:].mean(),
                "open_loop/reward": np.abs(reward)[:, CONTEXT:].mean(),
            }
        )
    means = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]}
    some = slice(_SEQUENCES)
    return means, open_loop_video(truth[some], image[some], CONTEXT)
