"""Backs of chairs: solid, slatted, ladder, spindled, crossed, framed, curved, and shells."""

import math
from dataclasses import dataclass

import numpy as np

from pyro_dcign.scenes.chair_bases import Seat
from pyro_dcign.scenes.joinery import COVER, FRAME, Dice, Joiner, Point, X, Y

RINGS = np.linspace(0, 1, 12)
"""Places of a slab's rings."""

EVEN = 0.5 - 0.5 * np.cos(np.pi * RINGS)
"""The same, closer together at both ends, where an outline turns."""


@dataclass(frozen=True)
class Lean:
    """The surface that a back follows.

    Attributes:
        seat: What it stands behind.
        height: Of the back above the seat.
        recline: From the upright, in degrees.
        bulge: How far its middle lies behind the straight line, in metres.
        wrap: How far its edges come forward, in metres.
        top: Width at the top as a share of the seat's rear.
    """

    seat: Seat
    height: float
    recline: float
    bulge: float
    wrap: float
    top: float

    def wide(self, up: float) -> float:
        """Half width at a share of the height."""
        base = self.seat.width * self.seat.rear - 0.015
        return base * (1 + (self.top - 1) * up)

    def at(self, across: float, up: float) -> Point:
        """Point of the surface: ``across`` from -1 to 1, ``up`` from 0 (seat) to 1."""
        tilt = math.radians(self.recline)
        along = up * self.height
        z = -self.seat.depth + 0.015 - along * math.sin(tilt)
        z -= self.bulge * math.sin(math.pi * up)
        y = self.seat.height - self.seat.drop - self.seat.thickness + along * math.cos(tilt)
        return (across * self.wide(up), y, z + self.wrap * across * across)

    def line(self, across: tuple[float, float], up: tuple[float, float]) -> list[Point]:
        """Eight points between two places of the surface."""
        steps = np.linspace(0, 1, 8).tolist()
        (a, b), (c, d) = across, up
        return [self.at(a + (b - a) * t, c + (d - c) * t) for t in steps]


def _posts(joiner: Joiner, dice: Dice, lean: Lean, *, low: float = 0.0) -> float:
    """Two uprights; gives their half thickness."""
    thick = dice.between(0.011, 0.022)
    square = 1.0 if dice.chance(0.6) else 0.0
    for x in (-1.0, 1.0):
        joiner.bar(lean.line((x, x), (low, 1.0)), (thick, 0.85 * thick), square=square)
    return thick


def _rail(
    joiner: Joiner, lean: Lean, up: float, half: float, *, thick: float = 0.009, cover: int = FRAME
) -> None:
    joiner.bar(lean.line((-1, 1), (up, up)), half, thick, across=Y, finish=cover)


def slats(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """Upright slats between two rails and two posts."""
    _posts(joiner, dice, lean)
    top, low = dice.between(0.02, 0.04), dice.between(0.1, 0.3)
    _rail(joiner, lean, 1 - top / lean.height, top)
    _rail(joiner, lean, low, 0.017)
    n = dice.whole(3, 8)
    wide = dice.between(0.3, 0.75) * lean.wide(0.5) / (n + 1)
    for k in range(n):
        x = -1 + 2 * (k + 1) / (n + 1)
        joiner.bar(lean.line((x, x), (low, 0.95)), wide, 0.006)


def spindles(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """Thin round rods that fan out from the seat to a bowed top rail (Windsor)."""
    _rail(joiner, lean, 0.97, dice.between(0.018, 0.04), thick=0.011)
    n = dice.whole(5, 8)
    thin = dice.between(0.005, 0.008)
    inner = dice.between(0.7, 0.95)
    for k in range(n):
        x = -1 + 2 * k / (n - 1)
        joiner.bar(lean.line((inner * x, 0.95 * x), (0, 0.96)), thin, square=0)


def ladder(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """Cross-rails, broad or narrow, between two posts."""
    _posts(joiner, dice, lean)
    n = dice.whole(2, 5)
    half = dice.between(0.2, 0.38) * 0.75 * lean.height / n
    low = dice.between(0.25, 0.4)
    for k in range(n):
        up = low + (1 - half / lean.height - low) * k / (n - 1)
        _rail(joiner, lean, up, half, thick=0.007)


def crossed(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """Two diagonals between rails."""
    _posts(joiner, dice, lean)
    low = dice.between(0.15, 0.3)
    _rail(joiner, lean, 0.96, dice.between(0.018, 0.03))
    _rail(joiner, lean, low, 0.016)
    thin = dice.between(0.009, 0.016)
    for x in (-1.0, 1.0):
        joiner.bar(lean.line((x, -x), (low, 0.95)), thin, 0.007)
    if dice.chance(0.4):
        joiner.bar(lean.line((0, 0), (low, 0.95)), thin, 0.006)


def framed(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """A thin panel, of cloth or cane, in a frame of posts and rails."""
    thick = _posts(joiner, dice, lean)
    low = dice.between(0.05, 0.4)
    for up in (low, 0.97):
        _rail(joiner, lean, up, thick, thick=thick)
    _panel(joiner, lean, low, 0.97, share=np.full(12, 0.97), thick=dice.between(0.004, 0.02))


def solid(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """A panel or an upholstered board, down to the seat or held above it."""
    low = 0.0 if dice.chance(0.55) else dice.between(0.2, 0.45)
    thick = dice.between(0.012, 0.04)
    if low:
        if dice.chance(0.5):
            _posts(joiner, dice, lean)
        else:
            half = dice.between(0.02, 0.05)
            spine = lean.line((0, 0), (-0.05, 0.6))
            spine = [(x, y, z - thick - 0.004) for x, y, z in spine]
            joiner.bar(spine, half, 0.008)
    rounded = dice.pick({"square": 0.4, "soft": 0.4, "round": 0.2})
    power = {"square": 12.0, "soft": 4.5, "round": 2.2}[rounded]
    outline = _outline(power, both=low > 0)
    _panel(joiner, lean, low, 1.0, share=outline, thick=thick)


def curved(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """A broad band bent round the sitter, on posts."""
    low = dice.between(0.25, 0.55)
    lean = Lean(lean.seat, lean.height, lean.recline, 0, dice.between(0.07, 0.16), 1.08)
    _posts(joiner, dice, lean)
    _panel(joiner, lean, low, 1.0, share=_outline(5, both=True), thick=dice.between(0.007, 0.02))


def _outline(power: float, *, both: bool) -> np.ndarray:
    """Width of a panel at each ring, rounded at its top, or at both ends."""
    t = np.abs(2 * EVEN - 1) if both else EVEN
    t = np.minimum(t, 0.985)
    return np.asarray((1 - t**power) ** (1 / power))


def _panel(
    joiner: Joiner, lean: Lean, low: float, high: float, *, share: np.ndarray, thick: float
) -> None:
    """A slab on the back's surface from one height to another."""
    up = low + (high - low) * EVEN
    path = [lean.at(0, float(u)) for u in up]
    width = np.array([lean.wide(float(u)) for u in up]) * share
    depth = np.full(12, thick)
    depth[[0, -1]] *= 0.5
    joiner.slab(path, width, depth, bend=lean.wrap * share**2, finish=COVER)


def shell(joiner: Joiner, dice: Dice, seat: Seat) -> None:
    """Seat and back of one moulded piece."""
    height = dice.between(0.3, 0.48)
    tilt = math.radians(dice.between(8, 26))
    lip, turn = dice.between(0.0, 0.025), dice.between(0.05, 0.09)
    deep, y0 = seat.depth, seat.height + 0.012
    back = -deep * 0.85
    path = [
        (0.0, y0 - lip, deep),
        (0.0, y0, deep * 0.85),
        (0.0, y0 - 0.006, deep * 0.45),
        (0.0, y0 - 0.014, 0.0),
        (0.0, y0 - 0.018, back + turn * 1.5),
        (0.0, y0 - 0.010, back + turn * 0.6),
        (0.0, y0 + turn * 0.5, back - 0.01),
    ]
    start = (y0 + turn * 0.5, back - 0.01)
    shares = np.array([0.25, 0.5, 0.74, 0.91, 1.0])
    for share in shares.tolist():
        rise = share * height
        path.append((0.0, start[0] + rise * math.cos(tilt), start[1] - rise * math.sin(tilt)))
    waist, top = dice.between(0.8, 1.05), dice.between(0.8, 1.05)
    width = np.interp(np.arange(12), [0, 1, 3, 6, 9, 11], [0.86, 1.0, 1.0, waist, 0.95 * top, top])
    power = dice.between(2.2, 7.0)
    width[7:] *= (1 - np.minimum(shares, 0.985) ** power) ** (1 / power)
    bucket = dice.between(0.0, 0.06) if dice.chance(0.5) else dice.between(0.06, 0.17)
    bend = bucket * np.interp(np.arange(12), [0, 1, 4, 6, 8, 11], [0.05, 0.2, 0.7, 1.0, 1.0, 0.5])
    thick = dice.between(0.006, 0.012) if dice.chance(0.7) else dice.between(0.02, 0.035)
    depth = np.full(12, thick)
    depth[[0, -1]] *= 0.5
    joiner.slab(path, width * seat.width, depth, bend=bend, across=X, square=1, finish=COVER)


BACKS = {
    "slats": slats,
    "spindles": spindles,
    "ladder": ladder,
    "crossed": crossed,
    "framed": framed,
    "solid": solid,
    "curved": curved,
}
