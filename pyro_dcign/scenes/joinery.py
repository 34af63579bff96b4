"""Joinery: the parts of one chair as they are put together, and its dice and materials."""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from pyro_dcign.scenes.sweeps import BARS, ROW, SLABS, Kind

Point = tuple[float, float, float]
Across = Sequence[float]

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

FRAME, COVER, DARK = 0, 1, 2
"""Materials of a chair: of its frame, of its seat and back, and of castors."""


@final
class Dice:
    """Draws of one chair, in the order in which they are asked for."""

    def __init__(self, uniform: Float64[ndarray, " count"]) -> None:
        self._rest = iter(uniform.tolist())

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * float(next(self._rest))

    def chance(self, share: float) -> bool:
        """True in this share of chairs."""
        return float(next(self._rest)) < share

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(float(next(self._rest)) * (high - low + 1))

    def pick(self, shares: dict[str, float]) -> str:
        """A name, by its share."""
        left = float(next(self._rest)) * sum(shares.values())
        for name, share in shares.items():
            left -= share
            if left < 0:
                return name
        return name


@final
class Joiner:
    """Collects the bars and slabs of one chair; lengths in metres, y up, z to the chair's front."""

    def __init__(self) -> None:
        self.parts: dict[int, list[Float64[ndarray, "rings row"]]] = {0: [], 1: []}
        self.finish: dict[int, list[int]] = {0: [], 1: []}

    def bar(
        self,
        path: Sequence[Point],
        width: float | Sequence[float],
        depth: float | Sequence[float] | None = None,
        *,
        across: Across = X,
        square: float = 1.0,
        finish: int = FRAME,
    ) -> None:
        """A bar along a path of two or more points; half sizes, by default as deep as wide."""
        ring = self._rings(BARS, path, width, width if depth is None else depth, 0.0)
        self._add(0, ring, across, square, finish)

    def slab(
        self,
        path: Sequence[Point] | Float64[ndarray, "points 3"],
        width: float | Sequence[float] | Float64[ndarray, " points"],
        depth: float | Sequence[float] | Float64[ndarray, " points"],
        *,
        bend: float | Sequence[float] | Float64[ndarray, " points"] = 0.0,
        across: Across = X,
        square: float = 1.0,
        finish: int = COVER,
    ) -> None:
        """A slab along a path; ``bend`` lifts its edges towards its upper side."""
        self._add(1, self._rings(SLABS, path, width, depth, bend), across, square, finish)

    def _rings(
        self, shape: Kind, path: object, width: object, depth: object, bend: object
    ) -> Float64[ndarray, "rings row"]:
        ring = np.empty((shape.rings, ROW))
        ring[:, :3] = _resample(np.asarray(path, np.float64), shape.rings)
        for column, value in ((3, width), (4, depth), (5, bend)):
            ring[:, column] = _resample(np.asarray(value, np.float64), shape.rings)
        return ring

    def _add(
        self,
        kind: int,
        ring: Float64[ndarray, "rings row"],
        across: Across,
        square: float,
        finish: int,
    ) -> None:
        assert len(self.parts[kind]) < (BARS, SLABS)[kind].parts, "more parts than there is room"
        ring[:, 6:9] = across
        ring[:, 9] = square
        self.parts[kind].append(ring)
        self.finish[kind].append(finish)

    def rings(self, kind: int) -> Float64[ndarray, "parts rings row"]:
        """All parts of a kind (0 bars, 1 slabs); absent ones are all zeros."""
        shape = (BARS, SLABS)[kind]
        out = np.zeros((shape.parts, shape.rings, ROW))
        for k, part in enumerate(self.parts[kind]):
            out[k] = part
        return out


def _resample(values: Float64[ndarray, "..."], rings: int) -> Float64[ndarray, "..."]:
    """Values at evenly spaced rings; a full set of rings is taken as it is."""
    if values.ndim == 0 or len(values) == rings:
        return values
    at = np.linspace(0, len(values) - 1, rings)
    low = np.minimum(at.astype(np.int64), len(values) - 2)
    rest = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    mixed: Float64[ndarray, ...] = values[low] * (1 - rest) + values[low + 1] * rest
    return mixed
