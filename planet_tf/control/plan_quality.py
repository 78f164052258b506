"""Does what the planner predicts come true?

For every decision, the return that the model predicted for the chosen plan
over the horizon, beside the return that came over as many decisions. The plan
is made anew at each of these, so what came is the agent's return, not that of
one plan carried out blindly.

Shape letters: N decisions of an episode, H horizon, I planner iterations.
"""

from collections.abc import Sequence

import numpy as np

# Columns by name, one value for each decision; a planner's iterations are a
# second dimension.
Columns = dict[str, np.ndarray]


def decisions(
    records: Sequence,
    row: int,
    reward: np.ndarray,
    horizon: int,
    terminated: bool = False,
) -> Columns:
    """Sets predictions beside what came.

    Args:
        records: `PlanRecord`s of arrays, one for each decision and perhaps
            more, from other worlds of the batch that went on for longer.
        row: Of the batch.
        reward: The episode's [N + 1]; row t is the reward of decision t - 1.
        horizon: H.
        terminated: The world has ended for good, so that it is known what
            comes after the last reward: nothing.

    Returns:
        Each of length N: `decision` from 0; `ahead`, the number of decisions
        after which rewards are known, at most H; the `predicted` return over H
        decisions; the `realized` one over those that were left; and the fields
        of `planning.Search`, [N, I].
    """
    N = len(reward) - 1
    decision = np.arange(N)
    ends = np.minimum(decision + horizon, N)
    total = np.cumsum(np.asarray(reward, np.float64))
    total -= total[0]
    of_row = [(r.predicted[row], r.search) for r in records[:N]]
    search = {
        name: np.stack([getattr(s, name)[:, row] for _, s in of_row])
        for name in of_row[0][1]._fields
    }
    return {
        "decision": decision,
        "ahead": np.full(N, horizon) if terminated else ends - decision,
        "predicted": np.array([predicted for predicted, _ in of_row]),
        "realized": total[ends] - total[decision],
        **search,
    }


def whole(columns: Columns, horizon: int) -> Columns:
    """The decisions whose horizon lies within the episode."""
    chosen = columns["ahead"] == horizon
    return {name: values[chosen] for name, values in columns.items()}


def summary(columns: Columns, horizon: int) -> dict:
    """Figures about the decisions of some episodes.

    Args:
        columns: See `decisions`; those of several episodes in a row.
        horizon: H.

    Returns:
        Over `decisions` whole horizons: means of `predicted` and `realized`,
        the `bias` (predicted - realized) and root mean squared `error`, and
        Pearson's `correlation`, None where one of the two never changes. And
        for all decisions, the mean over decisions of each field of
        `planning.Search`, by iteration.
    """
    chosen = whole(columns, horizon)
    predicted, realized = chosen["predicted"], chosen["realized"]
    result = {"horizon": horizon, "decisions": len(predicted)}
    if len(predicted):
        error = predicted - realized
        result |= {
            "predicted": float(predicted.mean()),
            "realized": float(realized.mean()),
            "bias": float(error.mean()),
            "error": float(np.sqrt(np.mean(error**2))),
            "correlation": _correlation(predicted, realized),
        }
    for name, values in columns.items():
        if values.ndim == 2:
            result[name] = values.mean(0).tolist()
    return result


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
