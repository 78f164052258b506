"""How good the model's predictions are on episodes it was not trained on."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from planet_tf.models.world_model import OpenLoop, Prediction, WorldModel
from planet_tf.tools.replay import KEYS, Replay
from planet_tf.tools.seeding import fold
from planet_tf.training.schedule import CONTEXT

HORIZONS = (1, 5, 15, 45)  # Predicted steps whose errors are scalars.


class Holdout(NamedTuple):
    """What `holdout` found.

    Attributes:
        metrics: Scalars by "topic/name".
        curves: By "topic/name", one value for each of the T - 5 predicted
            steps, which are 1, 2, ... steps after the last image seen.
        batch: The last batch.
        predictions: The model's for it, as arrays.
    """

    metrics: dict[str, float]
    curves: dict[str, np.ndarray]
    batch: dict[str, np.ndarray]
    predictions: OpenLoop


def holdout(
    model: WorldModel,
    batches: Iterable[dict[str, np.ndarray]],
    seed: np.ndarray,
) -> Holdout:
    """Losses on held-out sequences, and predictions without observations.

    The metrics are means over all batches, sequences and steps (open loop:
    over the predicted steps alone):

        test/<name>               scalars of `WorldModel.loss`
        closed_loop/prior_<name>  one step ahead, see `_moments`
        closed_loop/post_<name>   reconstructions, likewise
        open_loop/<name>          from actions alone, likewise
        open_loop/<head>_repeat   error of repeating the last row seen
        open_loop/kl              KL(posterior || prediction) in nats
        open_loop/<name>_at_<k>   errors and KL k steps after the last image

    Where episodes have terminated, the rows after their ends count as well
    (`Replay.sample`): such errors fall where worlds end sooner.

    And the curves are errors and KL against k, as `open_loop/<name>_by_step`.

    Args:
        model: The world model.
        batches: Of image uint8 [B, T, 64, 64, 3], action [B, T, A] and reward
            [B, T], T > 5; one at least. All of one size.
        seed: int32 [2].
    """
    scores, curves = [], []
    for i, batch in enumerate(batches):
        tensors = {key: tf.constant(value) for key, value in batch.items()}
        noise = tf.random.fold_in(tf.constant(seed), i)
        found, losses = model.open_loop(tensors, noise, CONTEXT)
        found = tf.nest.map_structure(lambda x: x.numpy(), found)
        truth = {**batch, "image": found.truth}
        curves.append(_by_step(truth, found))
        scores.append(
            {
                **_named("test/", {k: float(v) for k, v in losses.items()}),
                **_named("closed_loop/prior_", _moments(truth, found.prior)),
                **_named("closed_loop/post_", _moments(truth, found.post)),
                **_named("open_loop/", _moments(truth, found.open, CONTEXT)),
            }
        )
    metrics, curves = _means(scores), _means(curves)
    for name, curve in curves.items():
        metrics[f"open_loop/{name}"] = curve.mean()
        for k in HORIZONS:
            if k <= len(curve):
                metrics[f"open_loop/{name}_at_{k}"] = curve[k - 1]
    return Holdout(
        {name: float(value) for name, value in metrics.items()},
        {f"open_loop/{k}_by_step": v for k, v in curves.items()},
        batch,
        found,
    )


def holdouts(
    model: WorldModel,
    replay: Replay,
    tasks: Sequence[str],
    batches: int,
    batch: int,
    seed: int,
    updates: int = 0,
) -> dict[str, Holdout]:
    """`holdout` for each task, of 50 rows or as many as each has.

    Args:
        model: The world model.
        replay: Held-out episodes.
        tasks: Of the run, by name in the replay.
        batches: For each task.
        batch: Sequences in each.
        seed: The same seed and updates, the same sequences and noise, as long
            as the episodes are the same.
        updates: Of a run that is going on.

    Raises:
        ValueError: Of a task, there is no episode of more than 5 rows.
    """
    length = replay.sequence_length(tasks)
    keys = (*KEYS, *model.diagnostics)
    return {
        task: holdout(
            model,
            replay.batches(updates, batches, batch, length, seed, keys, task),
            fold(seed, "holdout", updates),
        )
        for task in tasks
    }


def merged(found: dict[str, Holdout]) -> tuple[dict, dict]:
    """Means of metrics and curves over the tasks of a run.

    With several tasks, the open-loop errors of each are there as well, as
    `open_loop/<head>_<task>`.
    """
    metrics = _means([x.metrics for x in found.values()])
    if len(found) > 1:
        names = [f"open_loop/{name}" for name in ("image", "reward", "kl")]
        for task, x in found.items():
            metrics |= {f"{name}_{task}": x.metrics[name] for name in names}
    return metrics, _means([x.curves for x in found.values()])


def _by_step(truth: dict, found: OpenLoop) -> dict[str, np.ndarray]:
    """Errors for each predicted step, averaged over the batch: [T - 5]."""
    predicted = {"image": found.open.image, **found.open.values}
    curves = {}
    for name, value in predicted.items():
        after = truth[name][:, CONTEXT:]
        last = truth[name][:, CONTEXT - 1 : CONTEXT]
        for key, guess in (
            (name, value[:, CONTEXT:]),
            (f"{name}_repeat", last),
        ):
            error = np.abs(guess - after)
            curves[key] = error.mean((0, *range(2, error.ndim)))
    curves["kl"] = found.kl[:, CONTEXT:].mean(0)
    return curves


def _moments(
    truth: dict, found: Prediction, start: int = 0
) -> dict[str, np.ndarray]:
    """Original `define_summaries.py`, from step `start` on.

    For each head, `<head>` is the mean absolute error (pixels in [0, 1]),
    `<head>_mean` and `<head>_std` are those of what it predicts, and
    `<head>_log_prob` is that of the data; `entropy` and `std` are the latent
    state's.

    Deviates from planet: its `std_mean` and `std_std` are left out, because
    the standard deviation of every head is 1.
    """
    result = {
        "entropy": found.entropy[:, start:].mean(),
        "std": found.std[:, start:].mean(),
    }
    for name, value in {"image": found.image, **found.values}.items():
        value = value[:, start:]
        result[name] = np.abs(value - truth[name][:, start:]).mean()
        result[f"{name}_mean"] = value.mean()
        result[f"{name}_std"] = value.std()
        result[f"{name}_log_prob"] = found.log_prob[name][:, start:].mean()
    return result


def _named(prefix: str, values: dict) -> dict:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _means(dicts: list[dict]) -> dict:
    return {key: np.mean([d[key] for d in dicts], 0) for key in dicts[0]}
