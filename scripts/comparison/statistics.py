"""Medians, interquartile means, their intervals, and data efficiency."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

_CUT = 0.25  # Of the scores at each end: what is left is between quartiles.
_RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class Summary:
    """Scores of several seeds.

    The interquartile mean (Agarwal et al., 2021, "Deep Reinforcement Learning
    at the Edge of the Statistical Precipice") is the mean of the middle half;
    of fewer than four scores nothing is cut off. `low` and `high` are the ends
    of its 95 % bootstrap interval, NaN where a task has a single seed.
    """

    count: int
    median: float
    iqm: float
    low: float
    high: float


def summarize(samples: Sequence[Sequence[float]]) -> Summary:
    """Summarizes scores over seeds and tasks.

    Args:
        samples: For each task, the scores of its seeds. Seeds are drawn again
            within each task (a stratified bootstrap), so that the interval is
            about other seeds of these tasks, not about other tasks.

    Raises:
        ValueError: There are no scores at all.
    """
    arrays = [np.asarray(sample, float) for sample in samples]
    scores = np.concatenate(arrays) if arrays else np.array([])
    if not scores.size:
        raise ValueError("There are no scores to summarize.")

    def iqm(*resampled: np.ndarray, axis: int) -> np.ndarray:
        return stats.trim_mean(
            np.concatenate(resampled, axis=axis), _CUT, axis=axis
        )

    low = high = math.nan
    if min(len(array) for array in arrays) > 1:
        low, high = stats.bootstrap(
            arrays,
            iqm,
            n_resamples=_RESAMPLES,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return Summary(
        count=scores.size,
        median=float(np.median(scores)),
        iqm=float(iqm(scores, axis=0)),
        low=float(low),
        high=float(high),
    )


def common_curve(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Sets learning curves on the same points, those of the first.

    Args:
        curves: Positions [P], ascending, and returns [P] of each seed; P >= 1
            may differ.

    Returns:
        Positions [Q], and returns [seeds, Q], between the points of a curve by
        a straight line. Only positions that all curves have come to, as
        nothing is made up elsewhere: Q can be 0.
    """
    start = max(x[0] for x, _ in curves)
    stop = min(x[-1] for x, _ in curves)
    points = curves[0][0]
    points = points[(points >= start) & (points <= stop)]
    return points, np.stack([np.interp(points, x, y) for x, y in curves])


def steps_to_reach(
    env_steps: Sequence[float],
    returns: Sequence[float],
    target: float,
    is_curve: bool,
) -> tuple[str, float]:
    """When a published agent first had a return.

    Args:
        env_steps: Where its return is known, ascending.
        returns: Its return there.
        target: The return to reach.
        is_curve: Whether the points are close enough to draw a straight line
            between them.

    Returns:
        "=" and the environment steps; "<=" and the first known point that has
        the return, where it may have come sooner; ">" and the last known point
        where none has it.
    """
    for i, (steps, value) in enumerate(zip(env_steps, returns, strict=True)):
        if value < target:
            continue
        if i == 0 or not is_curve:
            return "<=", float(steps)
        share = (target - returns[i - 1]) / (value - returns[i - 1])
        before = env_steps[i - 1]
        return "=", float(before + share * (steps - before))
    return ">", float(env_steps[-1])
