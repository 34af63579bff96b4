"""Albedo of a head, drawn by formulae in the mean head's coordinates and smooth at every border.

Lengths are in heads (chin to crown is 1, the origin half-way); tones are linear reflectances.
"""

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from pyro_dcign.scenes.identity import uniform
from pyro_dcign.scenes.rasterizer import interpolate
from pyro_dcign.scenes.render import Surface

STREAM = 2  # of random words; the shape has its own

EYE = (0.140, -0.018)  # across (either side) and up
IRIS = 0.026  # radius
BROW = (0.062, 0.222)  # inner and outer end
LID = 0.007  # how far a lash line reaches


def complexion(identity: Int64[Tensor, " people"]) -> Float32[Tensor, "tones people"]:
    """Tones and lines of each person's face, the rows that `skin` reads."""
    u = uniform(identity, stream=STREAM, count=32).T

    def between(row: int, low: float, high: float) -> Float64[ndarray, " people"]:
        return np.asarray(low + (high - low) * u[row])

    tone = between(0, 0.22, 0.66)
    grey = u[1] < 0.12
    dark = between(2, 0.025, 0.10) + (u[3] < 0.3) * between(4, 0.05, 0.22) * (tone > 0.45)
    hair = np.where(grey, between(4, 0.22, 0.42), dark)
    bald = u[5] < 0.12
    cover = np.where(bald, 0.0, np.where(u[6] < 0.25, between(7, 0.45, 0.8), between(7, 0.9, 1.0)))
    bearded = u[8] < 0.4
    recede = np.where(u[9] < 0.35, between(10, 0.02, 0.07), 0.0)
    peak = np.where(u[11] < 0.3, between(12, 0.01, 0.05), 0.0)
    rows = (
        tone,
        hair,
        cover,
        between(13, 0.18, 0.29),  # hairline above the forehead
        recede,  # at the temples
        peak,  # widow's peak
        between(14, -0.14, 0.06),  # end of the sideburn
        np.where(bearded, between(15, 0.1, 0.55), 0.0),  # stubble
        between(16, 0.066, 0.088),  # brow's height
        between(17, 0.009, 0.019),  # brow's half width
        between(18, 0.0, 0.026),  # brow's arch
        between(19, 0.5, 0.95),  # brow's density
        between(20, 0.55, 0.82),  # lips against skin
        between(21, 0.03, 0.28),  # iris
        between(22, 0.3, 0.85),  # lashes
        between(23, 0.0, 6.3),  # phases of mottling
        between(24, 0.0, 6.3),
        np.where(bald, 0.0, between(25, 0.0, 0.05)),  # hair's thickness
    )
    return torch.from_numpy(np.stack(rows)).float()


def _step(x: Tensor, low: float, high: float) -> Tensor:
    """Rise from 0 at ``low`` to 1 at ``high`` without a kink (smoothstep)."""
    t = ((x - low) * (1 / (high - low))).clamp_(0, 1)
    return t * t * (3 - 2 * t)


def skin(
    fields: Float32[Tensor, "fields vertices"],
    tones: Float32[Tensor, "tones people"],
    surface: Surface,
) -> Float32[Tensor, " hits"]:
    """Albedo at each hit.

    Args:
        fields: Of each vertex: position on the mean head (3), signed distance to the lips' border,
            distance to the rim of the lids, share of the ear, and 1 on an eyeball.
        tones: From `complexion`.
        surface: Where.
    """
    place = interpolate(fields, surface.corner, surface.weight)
    return face(place, tones.index_select(1, surface.mesh))


def face(
    place: Float32[Tensor, "7 hits"], tones: Float32[Tensor, "18 hits"]
) -> Float32[Tensor, " hits"]:
    """Albedo of a head at hits with these fields and tones (see `skin`)."""
    x, y, z, lips, lids, ear, eye = place
    (
        tone, hair, cover, front, recede, peak, burn, stubble,
        brow_up, brow_half, arch, density, lip, iris, lash, phase, phase2, _,
    ) = tones  # fmt: skip
    across = x.abs()

    mottle = torch.sin(17 * x + 11 * y + phase) * torch.sin(13 * y - 7 * z + phase2)
    skin_tone = tone * (1 + 0.05 * mottle)
    skin_tone = skin_tone * (1 - 0.1 * _step(mottle - 60 * (y + 0.2) ** 2, -1.5, 1.0))

    shade = _jaw(across, y, z) * stubble
    shade = shade * (1 - _step(lips, -0.3, 0.1))
    value = torch.lerp(skin_tone, torch.minimum(hair, 0.35 * skin_tone), shade)

    value = torch.lerp(value, skin_tone * lip, _step(lips, -0.25, 0.35))

    s = (across - BROW[0]) / (BROW[1] - BROW[0])
    line = brow_up + arch * (1 - (2 * s - 1.2) ** 2) - 0.02 * s * s
    half = brow_half * (1.15 - 0.75 * s).clamp(min=0.3)
    inside = 1 - _step((y - line).abs() / half, 0.45, 1.25)
    inside = inside * _step(s, -0.12, 0.15) * (1 - _step(s, 0.85, 1.1)) * (z > 0.2)
    value = torch.lerp(value, torch.minimum(hair, 0.5 * tone), inside * density)

    border = _hairline(across, y, z, front=front, recede=recede, peak=peak, burn=burn)
    strand = torch.sin(70 * x + 9 * torch.sin(7 * z + phase)) * torch.sin(60 * z + 30 * y + phase2)
    capped = _step(border + 0.008 * strand, -0.02, 0.035) * cover * (1 - _step(ear, 0.6, 0.9))
    value = torch.lerp(value, hair * (1 + 0.15 * strand), capped)

    upper = lash * (0.45 + 0.55 * _step(y, -0.03, -0.012))
    value = value * (1 - upper * (1 - _step(lids, 0.0, LID)) * (1 - eye))

    ball = _eyeball(across, y, iris)
    return torch.where(eye > 0.5, ball, value)


def hair_volume(
    fields: Float32[Tensor, "fields vertices"], tones: Float32[Tensor, "tones people"]
) -> Float32[Tensor, "vertices people"]:
    """How far hair lifts each vertex: thick on top, nothing at the hairline and on the ears."""
    x, y, z, _, _, ear, _ = fields[:, :, None]
    front, recede, peak, burn, thickness = tones[[3, 4, 5, 6, 17]]
    border = _hairline(x.abs(), y, z, front=front, recede=recede, peak=peak, burn=burn)
    rise = _step(border, -0.01, 0.14) * (0.45 + 0.55 * _step(y, 0.1, 0.42))
    volume: Tensor = thickness * rise * (1 - _step(ear, 0.05, 0.6))
    return volume


def _eyeball(across: Tensor, y: Tensor, iris: Tensor) -> Tensor:
    """White, iris with a dark limbus, pupil."""
    r = ((across - EYE[0]) ** 2 + (y - EYE[1]) ** 2).sqrt() * (1 / IRIS)
    disc = iris * (1.25 - 0.6 * _step(r, 0.6, 1.0)) * _step(r, 0.33, 0.5)
    return torch.lerp(disc + 0.012, torch.full_like(r, 0.62), _step(r, 0.88, 1.12))


def _jaw(across: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Where a beard grows: upper lip, chin and jaw."""
    upper = 0.245 + 0.25 * (across - 0.12).clamp(min=0) - 1.3 * (across - 0.2).clamp(min=0)
    below = _step(-y - upper, -0.02, 0.05)
    return below * _step(z, -0.12, 0.05) * (1 - _step(-y, 0.5, 0.6))


def _hairline(
    across: Tensor,
    y: Tensor,
    z: Tensor,
    *,
    front: Tensor,
    recede: Tensor,
    peak: Tensor,
    burn: Tensor,
) -> Tensor:
    """Height above the hairline, which runs round the head by the bearing from its axis."""
    back = z + 0.03
    bearing = 1 - back / (across * across + back * back + 1e-6).sqrt()  # 0 front, 1 ear, 2 nape
    temple = _step(bearing, 0.05, 0.2) * (1 - _step(bearing, 0.25, 0.45))
    tip = 1 - _step(bearing, 0.0, 0.03)
    line = front + recede * temple - peak * tip
    line = line + (burn - line) * _step(bearing, 0.45, 0.75)
    line = line + (-0.34 - line) * _step(bearing, 1.0, 1.45)  # behind the ear, down to the nape
    return y - line
