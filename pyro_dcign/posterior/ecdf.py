"""Is a sample of ranks uniform? Its empirical distribution against a band that holds as a whole."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom  # type: ignore[attr-defined]

Array = NDArray[np.float64]
POINTS = 50
SIMULATIONS = 4000


class Uniformity(NamedTuple):
    """A sample in [0, 1] beside the uniform law.

    Attributes:
        p: Share of uniform samples that stray as far at their worst point.
        below: Share of the sample at or below each point of the grid.
        low: Lower edge of the band that a share 1 - alpha of uniform samples never leaves.
        high: Its upper edge.
        grid: Points in (0, 1].
    """

    p: float
    below: Array
    low: Array
    high: Array
    grid: Array


def _grid() -> Array:
    return np.arange(1, POINTS) / POINTS


@cache
def _table(n: int) -> Array:
    """Two-sided binomial tail of each count at each point of the grid."""
    every, grid = np.arange(n + 1)[:, None], _grid()
    tails: Array = 2 * np.minimum(binom.cdf(every, n, grid), binom.sf(every - 1, n, grid))
    return tails


def _tails(counts: NDArray[np.int64], n: int) -> Array:
    """The smallest tail over the grid, for each row of counts."""
    found: Array = _table(n)[counts, np.arange(POINTS - 1)].min(-1)
    return found


@cache
def _null(n: int) -> Array:
    draws = np.random.default_rng(0).multinomial(n, np.full(POINTS, 1 / POINTS), SIMULATIONS)
    return np.sort(_tails(draws.cumsum(1)[:, :-1], n))


def uniformity(values: Array, *, alpha: float = 0.01) -> Uniformity:
    """Judge values in [0, 1] by the empirical distribution at 49 points, all at once.

    The simultaneous band of Säilynoja, Bürkner, Vehtari 2022 (arXiv 2103.10522), by simulation: of
    truly uniform samples a share ``alpha`` leaves it somewhere.
    """
    n, grid = len(values), _grid()
    counts = (values[:, None] <= grid).sum(0)
    null = _null(n)
    p = (1 + np.searchsorted(null, _tails(counts[None], n)[0], "right")) / (1 + len(null))
    gamma = null[int(alpha * len(null))]
    low, high = binom.ppf(gamma / 2, n, grid), binom.isf(gamma / 2, n, grid)
    return Uniformity(float(p), counts / n, low / n, high / n, grid)
