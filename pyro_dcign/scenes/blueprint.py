"""Blueprints: the parts and materials of a chair, a function of its number alone."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray

from pyro_dcign.scenes.chair_backs import BACKS, EVEN, Lean, shell
from pyro_dcign.scenes.chair_bases import BASES, Seat, legs
from pyro_dcign.scenes.identity import uniform
from pyro_dcign.scenes.joinery import COVER, FRAME, Dice, Joiner, X, Y
from pyro_dcign.scenes.sweeps import BARS, SLABS

STREAM = 3  # of random words: heads have 1 and 2
DRAWS = 96

BASE_SHARES = {"legs": 0.58, "pedestal": 0.09, "star": 0.15, "sled": 0.1, "cantilever": 0.08}
BACK_SHARES = {
    "slats": 0.17,
    "spindles": 0.1,
    "ladder": 0.16,
    "crossed": 0.06,
    "framed": 0.12,
    "solid": 0.26,
    "curved": 0.13,
}
CORNERS = {"square": 14.0, "soft": 5.0, "round": 2.6}  # see `Seat.corner`
SINGLE = {"solid": 0.75, "curved": 0.25}  # backs that go with a column


@dataclass(frozen=True)
class Blueprint:
    """One chair.

    Attributes:
        bars: Rings of its bars (see `sweeps.ROW`).
        slabs: Rings of its slabs.
        finish: Material of each part, bars first.
        tones: Of each material: reflectance, strength of the wood's grain, of a metal's bands, of a
            cloth's stripes, and a phase.
        style: Names of its base, its back and its arms.
    """

    bars: Float64[ndarray, "bars bar_rings row"]
    slabs: Float64[ndarray, "slabs slab_rings row"]
    finish: Int64[ndarray, " parts"]
    tones: Float64[ndarray, "materials 5"]
    style: tuple[str, str, str]


@lru_cache(maxsize=8192)
def blueprint(chair: int) -> Blueprint:
    """The chair of this number."""
    dice = Dice(uniform(torch.tensor([chair]), stream=STREAM, count=DRAWS)[0])
    joiner = Joiner()
    kind = dice.pick({"plain": 0.66, "shell": 0.2, "club": 0.14})
    build = {"plain": _plain, "shell": _moulded, "club": _club}[kind]
    base, back, arms = build(joiner, dice)
    finish = np.zeros(BARS.parts + SLABS.parts, np.int64)
    finish[: len(joiner.finish[0])] = joiner.finish[0]
    finish[BARS.parts : BARS.parts + len(joiner.finish[1])] = joiner.finish[1]
    tones = _materials(dice, base, kind)
    return Blueprint(joiner.rings(0), joiner.rings(1), finish, tones, (base, back, arms))


def _seat(dice: Dice, *, thin: tuple[float, float], low: float = 0.0) -> Seat:
    return Seat(
        width=dice.between(0.195, 0.265),
        depth=dice.between(0.19, 0.25),
        height=dice.between(0.42, 0.48) - low,
        thickness=dice.between(*thin),
        rear=dice.between(0.8, 1.0),
        drop=dice.between(0.0, 0.03),
        corner=CORNERS[dice.pick({"square": 0.5, "soft": 0.35, "round": 0.15})],
    )


def _plain(joiner: Joiner, dice: Dice) -> tuple[str, str, str]:
    """Base, seat and back apart."""
    base = dice.pick(BASE_SHARES)
    column = base in ("star", "pedestal")
    back = dice.pick(SINGLE if column else BACK_SHARES)
    thin = (0.022, 0.045) if base == "star" or dice.chance(0.35) else (0.009, 0.02)
    seat = _seat(dice, thin=thin)
    lean = Lean(
        seat,
        height=dice.between(0.36, 0.62),
        recline=dice.between(3, 18),
        bulge=dice.between(0.0, 0.03),
        wrap=dice.between(0.0, 0.05),
        top=dice.between(0.88, 1.12),
    )
    BASES[base](joiner, dice, seat)
    _board(joiner, dice, seat)
    BACKS[back](joiner, dice, lean)
    arms = dice.pick({"none": 0.58, "open": 0.3, "loop": 0.12})
    if arms == "open":
        _open_arms(joiner, dice, lean)
    elif arms == "loop":
        _loop_arms(joiner, dice, lean)
    return base, back, arms


def _moulded(joiner: Joiner, dice: Dice) -> tuple[str, str, str]:
    """A shell on any base."""
    base = dice.pick({"legs": 0.4, "pedestal": 0.22, "star": 0.18, "sled": 0.2})
    seat = _seat(dice, thin=(0.01, 0.014), low=0.03)
    BASES[base](joiner, dice, seat)
    shell(joiner, dice, seat)
    if dice.chance(0.3):  # a pad on the seat
        _cushion(joiner, seat, thick=0.014, share=0.8, lift=0.008)
    return base, "shell", "none"


def _club(joiner: Joiner, dice: Dice) -> tuple[str, str, str]:
    """An armchair: thick cushions, solid arms, short legs or a plinth."""
    wide = dice.between(0.25, 0.32)
    seat = Seat(wide, dice.between(0.26, 0.32), dice.between(0.3, 0.36), 0.07, 1.0, 0.0)
    legs(joiner, dice, seat, chunky=True)
    height, tilt = dice.between(0.36, 0.52), dice.between(6, 18)
    joiner.slab(
        ((0, seat.under + 0.06, seat.depth), (0, seat.under + 0.06, -seat.depth)), wide, 0.06
    )
    _cushion(joiner, seat, thick=dice.between(0.04, 0.06), share=0.96, lift=-0.02)
    lean = Lean(seat, height + 0.12, tilt, 0.0, dice.between(0.0, 0.08), dice.between(0.9, 1.05))
    up = EVEN
    path = [lean.at(0, float(u)) for u in up]
    thick = dice.between(0.045, 0.08)
    soft = 12.0 if dice.chance(0.5) else 4.0
    outline = (1 - np.minimum(up, 0.98) ** soft) ** (1 / soft)
    depth = thick * np.interp(np.arange(12), [0, 1, 10, 11], [0.6, 1, 1, 0.5])
    width = np.array([lean.wide(float(u)) for u in up]) * outline
    square = 1.0 if dice.chance(0.6) else 0.55
    joiner.slab(path, width, depth, bend=lean.wrap * outline**2, square=square)
    side = dice.between(0.03, 0.06)
    top = seat.height + dice.between(0.1, 0.2)
    slope = dice.between(-0.02, 0.06)
    for x in (-1, 1):
        at = x * (wide + side * 0.7)
        middle = (top + seat.under) / 2
        half = (top - seat.under) / 2
        ends = (half - slope / 2, half + slope / 2)
        joiner.slab(
            ((at, middle - slope / 2, seat.depth), (at, middle + slope / 2, -seat.depth)),
            ends, side, across=Y, square=dice.between(0.6, 1.0),
        )  # fmt: skip
    return "legs", "solid", "solid"


def _board(joiner: Joiner, dice: Dice, seat: Seat) -> None:
    """The seat: flat or hollowed, square or round, hard or a cushion."""
    hollow = dice.between(0.008, 0.028) if dice.chance(0.45) else 0.0
    hollow = min(hollow, 1.2 * seat.thickness)
    soft = 0.45 if seat.thickness > 0.021 and dice.chance(0.7) else 1.0
    t = 1 - 2 * EVEN  # front 1, rear -1
    share = (1 - np.minimum(np.abs(t), 0.985) ** seat.corner) ** (1 / seat.corner)
    width = seat.width * share * np.interp(t, [-1, 1], [seat.rear, 1.0])
    depth = np.full(12, seat.thickness)
    depth[[0, -1]] *= 0.5
    fall = 0.5 * hollow * np.clip((t - 0.6) / 0.4, 0, 1) ** 2
    y = seat.height - seat.thickness - seat.drop * (1 - t) / 2 - hollow * (1 - t * t) - fall
    path = np.stack((0 * t, y, seat.depth * t), -1)
    # A panel of wood has the frame's finish, a cushion its own.
    finish = COVER if soft < 1 or dice.chance(0.5) else FRAME
    joiner.slab(path, width, depth, bend=0.8 * hollow, square=soft, finish=finish)
    if soft == 1 and dice.chance(0.2):
        _cushion(joiner, seat, thick=dice.between(0.012, 0.025), share=0.92, lift=0.0)


def _cushion(joiner: Joiner, seat: Seat, *, thick: float, share: float, lift: float) -> None:
    """A pad that lies on the seat."""
    t = 1 - 2 * EVEN
    round_ = (1 - np.minimum(np.abs(t), 0.985) ** 6) ** (1 / 6)
    width = share * seat.width * round_ * np.interp(t, [-1, 1], [seat.rear, 1.0])
    y = seat.height + lift + thick - seat.drop * (1 - t) / 2
    path = np.stack((0 * t, y, share * seat.depth * t), -1)
    depth = thick * (1 - np.minimum(np.abs(t), 0.95) ** 4) ** 0.5
    joiner.slab(path, width, depth, square=0.5)


def _open_arms(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """An arm-rest on a post, from the back forwards."""
    seat = lean.seat
    up = dice.between(0.34, 0.5)
    reach = dice.between(-0.1, 0.6) * seat.depth
    half, flat = dice.between(0.012, 0.03), dice.between(0.008, 0.014)
    thin = dice.between(0.009, 0.016)
    square = 1.0 if dice.chance(0.6) else 0.0
    for x in (-1.0, 1.0):
        back = lean.at(x, up)
        wide = x * (seat.width + 0.015)
        front = (wide, back[1] + dice.between(-0.03, 0.01), reach + 0.04)
        joiner.bar((back, front), (half * 0.8, half), flat, across=X, square=square)
        foot = (x * (seat.width - 0.01), seat.height - seat.thickness, reach - 0.02)
        joiner.bar(((front[0], front[1], reach), foot), thin, square=square)


def _loop_arms(joiner: Joiner, dice: Dice, lean: Lean) -> None:
    """A broad flat band that leaves the seat's side, runs back and meets the back."""
    seat = lean.seat
    high = seat.height + dice.between(0.17, 0.23)
    half = dice.between(0.012, 0.025)
    for x in (-1.0, 1.0):
        wide = x * (seat.width + 0.035)
        side = (x * (seat.width - 0.01), seat.height - seat.thickness, 0.5 * seat.depth)
        front, rear = (wide, high, 0.55 * seat.depth), (wide, high, -0.6 * seat.depth)
        joiner.bar((side, front), half, 0.007, across=(0, 0, 1))
        joiner.bar((front, rear), half + 0.008, 0.01)
        joiner.bar((rear, lean.at(x, 0.42)), half, 0.007)


def _materials(dice: Dice, base: str, kind: str) -> Float64[ndarray, "3 5"]:
    """Reflectances of frame, cover and castors: wood, metal, paint; cloth, leather, plastic."""
    metal = base in ("star", "sled", "cantilever", "pedestal") or dice.chance(0.12)
    stuff = dice.pick({"metal": 0.75, "paint": 0.25} if metal else {"wood": 0.8, "paint": 0.2})
    painted = dice.between(0.02, 0.07) if dice.chance(0.6) else dice.between(0.5, 0.75)
    frame = {
        "metal": (dice.between(0.25, 0.5), 0.0, dice.between(0.3, 0.6), 0.0),
        "wood": (dice.between(0.05, 0.42), dice.between(0.05, 0.25), 0.0, 0.0),
        "paint": (painted, 0.0, 0.0, 0.0),
    }[stuff]
    same = stuff == "wood" and kind == "plain" and dice.chance(0.35)
    dark = dice.chance(0.4)
    tone = dice.between(0.02, 0.12) if dark else dice.between(0.12, 0.72)
    stripes = dice.between(0.15, 0.5) if dice.chance(0.1) and kind != "shell" else 0.0
    cover = frame if same else (tone, 0.0, 0.0, stripes)
    phase = dice.between(0, 6.28)
    return np.array([(*frame, phase), (*cover, phase), (0.03, 0, 0, 0, 0)])
