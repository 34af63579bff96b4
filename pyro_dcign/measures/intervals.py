"""Intervals: bootstrapped over identities, whose images come and go together, and over seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student  # type: ignore[attr-defined]

Array = NDArray[np.float64]
Weights = NDArray[np.float64]
"""How often each image counts: one row for the set as it is, one for each resample after it."""

Interval = Mapping[str, float | None]
"""``value``, ``low`` and ``high``: an estimate and its 95 % bootstrap interval.

The ends are None where there is one identity: nothing says how others would differ."""

RESAMPLES = 500


def resamples(identity: NDArray[np.int64], *, seed: int = 0, count: int = RESAMPLES) -> Weights:
    """Weights of images whose identities are drawn with replacement: (1 + count, images).

    Of one identity there are no resamples, only the first row.
    """
    who, where = np.unique(identity, return_inverse=True)
    if len(who) < 2:
        return np.ones((1, len(identity)))
    draw = np.random.default_rng(seed)
    drawn = draw.multinomial(len(who), np.full(len(who), 1 / len(who)), size=count)
    return np.vstack([np.ones(len(who)), drawn])[:, where]


def interval(statistics: Array) -> Interval:
    """Value and 95 % percentile interval of a statistic of each row of weights."""
    rest = statistics[1:][np.isfinite(statistics[1:])]
    if not len(rest):
        return {"value": float(statistics[0]), "low": None, "high": None}
    low, high = np.percentile(rest, [2.5, 97.5])
    return {"value": float(statistics[0]), "low": float(low), "high": float(high)}


def over_seeds(values: Sequence[float | None]) -> dict[str, float | None] | None:
    """Mean over seeds and its 95 % t interval; of one seed no interval, of none at all None."""
    known = np.array([value for value in values if value is not None and np.isfinite(value)])
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) == 1:
        return {"value": mean, "low": None, "high": None}
    half = float(student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / len(known) ** 0.5)
    return {"value": mean, "low": mean - half, "high": mean + half}


def mean(weights: Weights, values: Array) -> Array:
    """Weighted mean of (images,) for each row of weights."""
    found: Array = weights @ values / weights.sum(1)
    return found


def r2(weights: Weights, truth: Array, predicted: Array) -> Array:
    """Coefficient of determination of (images, columns), averaged over the columns."""
    total = weights.sum(1, keepdims=True)
    centre = weights @ truth / total
    variance = weights @ truth**2 / total - centre**2
    error = weights @ (truth - predicted) ** 2 / total
    found: Array = (1 - error / np.maximum(variance, 1e-12)).mean(1)
    return found


def spearman(weights: Weights, a: Array, b: Array) -> Array:
    """Rank correlation, tied values at their middle rank; 0 where a side is constant."""
    x, y = _ranks(weights, a), _ranks(weights, b)
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    scale = np.sqrt((weights * x**2).sum(1) * (weights * y**2).sum(1))
    found: Array = (weights * x * y).sum(1) / np.where(scale > 0, scale, 1)
    return found


def _ranks(weights: Weights, values: Array) -> Array:
    """Middle rank of each image among the weighted images."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], first, axis=1)
    middle = counts.cumsum(1) - counts / 2
    ranks: Array = middle[:, group]
    return ranks
