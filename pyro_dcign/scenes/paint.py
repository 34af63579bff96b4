"""Albedo of a whole person: the head's, and that of cloth, long hair and frames of glasses."""

import torch
from jaxtyping import Float32
from torch import Tensor

from pyro_dcign.scenes.albedo import face
from pyro_dcign.scenes.hair import bareness
from pyro_dcign.scenes.rasterizer import interpolate
from pyro_dcign.scenes.render import Surface

SKIN, CLOTH, HAIR, FRAME, HOLLOW = 0.0, 1.0, 2.0, 3.0, 4.0
"""Parts of a person, the last row of the fields."""

DARK = 0.03
"""Of a hollow."""


def person(
    fields: Float32[Tensor, "8 vertices"],
    tones: Float32[Tensor, "25 people"],
    surface: Surface,
) -> Float32[Tensor, " hits"]:
    """Albedo at each hit.

    Args:
        fields: Of each vertex: those of `albedo.skin`, then its part. On long hair the position is
            its bearing from the back, its height, and 1 on the inner side.
        tones: `looks.Looks.tones`.
        surface: Where.
    """
    place = interpolate(fields, surface.corner, surface.weight)
    tone = tones.index_select(1, surface.mesh)
    x, y, z, part = place[0], place[1], place[2], place[7]
    hair, phase = tone[1], tone[15]
    crown, cloth, stripe, pitch, frame, level = tone[[18, 19, 20, 21, 22, 24]]

    shown = tone[:18].clone()
    shown[2] *= 1 - crown * bareness(y, z)
    value = face(place[:7], shown)

    band = torch.sin(pitch * torch.lerp(x, y, level) + phase).mul(5).clamp(-1, 1)
    worn = cloth * (1 + stripe * 0.5 * (band - 1))
    strand = torch.sin(34 * x + 3 * torch.sin(6 * y + phase)) * torch.sin(
        57 * x - 5 * y + 2 * phase
    )
    hung = hair * (1 + 0.22 * strand) * (1 - 0.45 * z)
    value = torch.where(part > 0.5, worn, value)
    value = torch.where(part > 1.5, hung, value)
    value = torch.where(part > 2.5, frame, value)
    return torch.where(part > 3.5, DARK, value)
