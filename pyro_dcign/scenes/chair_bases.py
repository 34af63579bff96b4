"""What a chair stands on: legs, a pedestal, a star on castors, a sled or a cantilever."""

import math
from dataclasses import dataclass

from pyro_dcign.scenes.joinery import DARK, FRAME, Dice, Joiner, Point, Y, Z


@dataclass(frozen=True)
class Seat:
    """Sizes that base, seat, back and arms share, in metres.

    Attributes:
        width: Half the seat's width at the front.
        depth: Half the seat's depth.
        height: Of the seat's upper side.
        thickness: Half the seat's thickness.
        rear: Width at the rear as a share of the width at the front.
        drop: How far the seat's rear lies below its front.
        corner: Exponent of its outline: 2 is an ellipse, 14 nearly a rectangle.
    """

    width: float
    depth: float
    height: float
    thickness: float
    rear: float
    drop: float
    corner: float = 14.0

    @property
    def under(self) -> float:
        """Height of the seat's lower side."""
        return self.height - 2 * self.thickness


def legs(joiner: Joiner, dice: Dice, seat: Seat, *, chunky: bool = False) -> None:
    """Four legs, straight or splayed, tapered or not, with stretchers and an apron or without."""
    top = dice.between(0.03, 0.045) if chunky else dice.between(0.012, 0.024)
    foot = top * (dice.between(0.45, 1.0) if dice.chance(0.6) else 1.0)
    square = 1.0 if dice.chance(0.6) else 0.0
    splay = dice.between(0.02, 0.09) if dice.chance(0.5) and not chunky else 0.0
    rake = dice.between(0.0, 0.06)
    # A leg stands under the seat, where its outline cuts the diagonal.
    inset = dice.between(0.02, 0.04) + seat.width * (1 - 0.5 ** (1 / seat.corner))
    high = seat.under + seat.thickness
    corners = []
    for x in (-1, 1):
        for z in (1, -1):
            wide = seat.width * (1.0 if z > 0 else seat.rear) - inset
            at = (x * wide, high - (0 if z > 0 else seat.drop), z * (seat.depth - inset))
            end = (at[0] + x * splay, 0.0, at[2] + z * splay - (0 if z > 0 else rake))
            joiner.bar((at, end), (top, foot), square=square)
            corners.append((at, end))
    if dice.chance(0.4) and not chunky:
        _stretchers(joiner, dice, corners, thin=0.6 * top, square=square)
    if dice.chance(0.45) and square and not splay:
        low = dice.between(0.02, 0.035)
        for a, b in ((0, 1), (2, 3), (0, 2), (1, 3)):
            p, q = corners[a][0], corners[b][0]
            drop = seat.thickness + low
            joiner.bar(((p[0], p[1] - drop, p[2]), (q[0], q[1] - drop, q[2])), low, 0.01, across=Y)


def _stretchers(
    joiner: Joiner,
    dice: Dice,
    corners: list[tuple[Point, Point]],
    *,
    thin: float,
    square: float,
) -> None:
    """Bars between the legs: at the sides and across their middle (H), or all round."""
    level = dice.between(0.3, 0.75)

    def at(corner: int, share: float) -> Point:
        (ax, ay, az), (bx, by, bz) = corners[corner]
        return (ax + (bx - ax) * share, ay + (by - ay) * share, az + (bz - az) * share)

    left, right = (at(0, level), at(1, level)), (at(2, level), at(3, level))
    for path in (left, right):
        joiner.bar(path, thin, across=Y, square=square)
    if dice.chance(0.5):
        middle = tuple(tuple((p[k] + q[k]) / 2 for k in range(3)) for p, q in (left, right))
        joiner.bar(middle, thin, across=Y, square=square)  # type: ignore[arg-type]
    else:
        other = level + dice.between(-0.12, 0.12)
        joiner.bar((at(0, other), at(2, other)), thin, across=Y, square=square)
        joiner.bar((at(1, other), at(3, other)), thin, across=Y, square=square)


def pedestal(joiner: Joiner, dice: Dice, seat: Seat) -> None:
    """A column on a disc or a trumpet foot."""
    foot = dice.between(0.19, 0.27)
    stem = dice.between(0.018, 0.045)
    flare = dice.pick({"disc": 0.5, "trumpet": 0.5})
    height = seat.under - 0.01  # a hollowed seat must not be pierced
    if flare == "disc":
        joiner.slab(
            ((0, 0, 0), (0, 0.004, 0), (0, 0.014, 0), (0, 0.03, 0)),
            (0.04, foot, 0.98 * foot, stem),
            (0.04, foot, 0.98 * foot, stem),
            square=0,
            finish=FRAME,
        )
        joiner.slab(((0, 0.02, 0), (0, height, 0)), stem, stem, square=0, finish=FRAME)
    else:
        shape = [0.04, 0.55 * foot, foot, 0.8 * foot, 0.55 * foot, 0.33 * foot]
        shape += [stem + 0.05 * math.exp(-k) for k in range(3)] + [stem, stem + 0.01, stem + 0.02]
        level = [0, 0.002, 0.004, 0.02, 0.035, 0.06, 0.1, 0.16, 0.22, 0.29, 0.36, 1.0]
        path = [(0.0, y, 0.0) for y in level[:-1]] + [(0.0, height, 0.0)]
        joiner.slab(path, shape, shape, square=0, finish=FRAME)


def star(joiner: Joiner, dice: Dice, seat: Seat) -> None:
    """Four or five spokes with castors or glides, and a column."""
    spokes = 5 if dice.chance(0.7) else 4
    reach = dice.between(0.25, 0.32)
    castors = dice.chance(0.75)
    floor = 0.06 if castors else 0.025
    hub = floor + dice.between(0.02, 0.09)
    turn = dice.between(0, 2 * math.pi)
    thick = dice.between(0.014, 0.024)
    for k in range(spokes):
        angle = turn + 2 * math.pi * k / spokes
        x, z = math.cos(angle), math.sin(angle)
        joiner.bar(
            ((0, hub, 0), (0.5 * reach * x, 0.6 * hub + 0.4 * floor, 0.5 * reach * z),
             (reach * x, floor, reach * z)),
            (thick, 0.7 * thick),
            across=(-z, 0, x),
        )  # fmt: skip
        if castors:
            size, out = 0.028, 0.016
            joiner.bar(
                ((reach * x - out * z, size, reach * z + out * x),
                 (reach * x + out * z, size, reach * z - out * x)),
                size, across=Y, square=0, finish=DARK,
            )  # fmt: skip
        else:
            joiner.bar(((reach * x, floor, reach * z), (reach * x, 0, reach * z)), 0.014, square=0)
    middle = hub + 0.5 * (seat.under - hub)
    joiner.bar(((0, hub - 0.02, 0), (0, middle, 0)), dice.between(0.026, 0.036), square=0)
    joiner.bar(((0, middle, 0), (0, seat.under + 0.01, 0)), 0.018, square=0)
    joiner.bar(
        ((0, seat.under - 0.008, 0.6 * seat.depth), (0, seat.under - 0.008, -0.7 * seat.depth)),
        0.05, 0.014, finish=DARK,
    )  # fmt: skip


def sled(joiner: Joiner, dice: Dice, seat: Seat) -> None:
    """Two loops that stand on their whole length."""
    thin = dice.between(0.008, 0.014)
    square = 1.0 if dice.chance(0.3) else 0.0
    wide = seat.width * seat.rear - 0.01
    lean = dice.between(-0.02, 0.06)
    front, back = seat.depth - 0.04, -seat.depth + 0.02
    high = seat.under + seat.thickness
    for x in (-wide, wide):
        foot = thin + 0.0
        joiner.bar(((x, high, front), (x, foot, front + lean)), thin, square=square)
        joiner.bar(((x, foot, front + lean), (x, foot, back - lean)), thin, square=square)
        joiner.bar(((x, foot, back - lean), (x, high - seat.drop, back)), thin, square=square)
    for z, y in ((front, high), (back, high - seat.drop)):
        joiner.bar(((-wide, y - 0.01, z), (wide, y - 0.01, z)), thin, across=Y, square=square)


def cantilever(joiner: Joiner, dice: Dice, seat: Seat) -> None:
    """A bent tube that rises at the front only; the seat hangs in the air behind."""
    thin = dice.between(0.011, 0.016)
    wide = seat.width - 0.005
    front, back = seat.depth - 0.01, -seat.depth - dice.between(0.0, 0.06)
    high = seat.under + seat.thickness
    curve = 0.06
    for x in (-wide, wide):
        joiner.bar(
            ((x, high, -seat.depth * 0.8), (x, high, front - curve)),
            thin,
            across=(1, 0, 0),
            square=0,
        )
        joiner.bar(
            ((x, high, front - curve), (x, high - 0.3 * curve, front - 0.3 * curve),
             (x, high - curve, front)),
            thin, square=0,
        )  # fmt: skip
        joiner.bar(((x, high - curve, front), (x, curve, front)), thin, square=0)
        joiner.bar(
            ((x, curve, front), (x, thin + 0.3 * (curve - thin), front - 0.3 * curve),
             (x, thin, front - curve)),
            thin, square=0,
        )  # fmt: skip
        joiner.bar(((x, thin, front - curve), (x, thin, back)), thin, square=0)
    joiner.bar(((-wide, thin, back), (wide, thin, back)), thin, across=Z, square=0)


BASES = {
    "legs": legs,
    "pedestal": pedestal,
    "star": star,
    "sled": sled,
    "cantilever": cantilever,
}
