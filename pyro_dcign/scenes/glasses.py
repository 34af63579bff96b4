"""Glasses: two rims, a bridge and temples, fitted to a person's face."""

from typing import final

import torch
from jaxtyping import Float32
from torch import Tensor

from pyro_dcign.scenes.loft import tube, wall

SEGMENTS = 18
"""Corners of a rim."""

BRIDGE, TEMPLE = 4, 5
"""Points of a bridge and of a temple."""

GAP = 0.012
"""Between the face and the rims."""

WRAP = 0.55
"""How far rims bend back: depth lost over the square of the distance from the middle."""


@final
class Glasses:
    """Frames without lenses.

    Args:
        fields: Of the head's vertices (see `albedo.skin`).
    """

    def __init__(self, fields: Float32[Tensor, "7 vertices"]) -> None:
        x, y, z, _, _, ear, eye = fields
        across = x.abs()
        self.eyes = ((eye > 0.5) & (x > 0)).nonzero()[:, 0]
        near = (across > 0.04) & (across < 0.27) & (y > -0.13) & (y < 0.08) & (z > 0.2)
        self.near = near.nonzero()[:, 0]
        self.nose = ((across < 0.02) & (y.abs() < 0.06) & (z > 0.3)).nonzero()[:, 0]
        self.ears = ((ear > 0.6) & (x > 0)).nonzero()[:, 0]
        parts, start = [], 0
        for points, closed in ((SEGMENTS, True),) * 2 + ((BRIDGE, False),) + ((TEMPLE, False),) * 2:
            parts.append(_tube_triangles(points, closed) + start)
            start += 4 * points
        self.triangles = torch.cat(parts).to(fields.device)
        self.count = start

    def vertices(
        self, head: Float32[Tensor, "3 vertices people"], glasses: Float32[Tensor, "6 people"]
    ) -> Float32[Tensor, "3 frame people"]:
        """Points of all parts; at the origin where a person wears none."""
        there, wide, high, square, thick, drop = glasses
        eye = head[:, self.eyes].mean(1)
        centre = eye[0].clamp(min=0.128) + 0.01
        level = eye[1] + drop
        near = head[:, self.near]
        plane = (near[2] + WRAP * near[0] ** 2).amax(0) + GAP + thick

        def front(x: Tensor, y: Tensor) -> Tensor:
            return torch.stack((x, y, plane - WRAP * x * x))

        angle = torch.arange(SEGMENTS, device=head.device)[:, None] * (2 * torch.pi / SEGMENTS)
        c, s = angle.cos(), angle.sin()
        power = 2 / square
        u, v = c.sign() * c.abs() ** power, s.sign() * s.abs() ** power
        v = torch.where(v < 0, v * 1.08, v)
        parts = []
        for side in (1.0, -1.0):
            rim = front(side * (centre + wide * u), level + high * v)
            parts.append(tube(rim, thick, closed=True))
        inner = centre - wide
        t = torch.linspace(-1, 1, BRIDGE, device=head.device)[:, None]
        bow = level + high * 0.35 + 0.018 * (1 - t * t)
        bridge = front(t * inner, bow)
        over = (head[2, self.nose].amax(0) + GAP + thick - plane).clamp(min=0)
        bridge[2] = bridge[2] + over * (1 - t * t)
        parts.append(tube(bridge, thick, closed=False))
        ear = head[:, self.ears]
        top, inside = ear[1].amax(0) - 0.01, ear[0].amin(0) + 0.02
        hook = ear[2].mean(0)
        hinge = centre + wide
        for side in (1.0, -1.0):
            begin = front(hinge, level + high * 0.45)
            widest = torch.maximum(hinge + 0.006, inside + 0.015)
            points = [
                begin,
                torch.stack((torch.maximum(widest, hinge), begin[1] + 0.003, begin[2] - 0.03)),
                torch.stack((widest, begin[1] * 0.5 + top * 0.5, 0.5 * begin[2] + 0.5 * hook)),
                torch.stack((inside + 0.01, top, hook + 0.02)),
                torch.stack((inside - 0.01, top - 0.12, hook - 0.09)),
            ]
            path = torch.stack(points, 1)
            path[0] *= side
            parts.append(tube(path, thick, closed=False))
        worn: Tensor = torch.cat(parts, 1) * there
        return worn


def _tube_triangles(points: int, closed: bool) -> Tensor:
    """Triangles of a tube, its ends open: they lie inside other parts."""
    walls = wall(points, 4).flip(1)
    if not closed:
        return walls
    last, first = (points - 1) * 4, 0
    k = torch.arange(4)
    a, b, c, d = last + k, last + (k + 1) % 4, first + k, first + (k + 1) % 4
    return torch.cat((walls, torch.stack((b, c, a), 1), torch.stack((d, c, b), 1)))
