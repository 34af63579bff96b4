"""The curve that one factor's latents run along as its value changes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FINE = 2000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """How the latents of one factor run with its value: linear between knots.

    Attributes:
        indices: Which latents of the code carry the factor.
        values: Values of the factor at the knots, rising; degrees for angles. (knots,)
        codes: Latents at each knot. (knots, len(indices))
        period: 360 for a full circle, else none.
        note: What a reader should know about this curve; empty where all is well.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]
    codes: tuple[tuple[float, ...], ...]
    period: float | None = None
    note: str = ""

    def at(self, values: Sequence[float] | Array) -> Array:
        """Latents at values of the factor: (n, latents); held at the ends outside the knots."""
        x, columns = np.asarray(values, dtype=float), np.array(self.codes).T
        return np.stack([np.interp(x, self.values, z, period=self.period) for z in columns], -1)

    def nearest(self, codes: Array) -> Array:
        """Value of the factor at the nearest point of the curve to each code: (n,)."""
        high = self.values[0] + self.period if self.period else self.values[-1]
        fine = np.linspace(self.values[0], high, _FINE)
        curve = self.at(fine)
        distance = sum((codes[:, [i]] - curve[:, i]) ** 2 for i in range(curve.shape[1]))
        found: Array = fine[np.asarray(distance).argmin(1)]
        return found


def curve_of(entry: Mapping[str, Any], *, latents: int, period: float | None) -> Curve:
    """The curve whose attributes a JSON object holds.

    Raises:
        ValueError: Attributes that are no curve through a code of that many latents; also
            TypeError and KeyError.
    """
    indices = tuple(entry["indices"])
    values = tuple(float(v) for v in entry["values"])
    codes = tuple(tuple(float(z) for z in row) for row in entry["codes"])
    if not indices or any(type(i) is not int or not 0 <= i < latents for i in indices):
        raise ValueError(f"needs indices of the {latents} latents")
    if not all(
        math.isfinite(n) and abs(n) < 1e9 for n in [*values, *(z for row in codes for z in row)]
    ):
        raise ValueError("needs finite numbers")
    rising = all(a < b for a, b in pairwise(values))
    if len(values) < 2 or not rising or [len(row) for row in codes] != [len(indices)] * len(values):
        raise ValueError("needs rising values and as many codes")
    return Curve(indices, values, codes, period, str(entry.get("note", ""))[:200])
