"""Hair: how far it lifts a head, and long hair as a curtain that hangs round its back."""

from typing import final

import torch
from jaxtyping import Float32
from torch import Tensor

from pyro_dcign.scenes.albedo import hair_volume
from pyro_dcign.scenes.loft import wall

COLUMNS = 25
"""Points of the curtain from one side of the face round the back to the other."""

PROFILE = (
    # height (from 1 at the top to 0 at the end, or in heads above the ears), share of the radius
    (0.36, 0.62),
    (0.30, 0.80),
    (0.22, 0.93),
    (0.12, 1.0),
    (0.00, 1.03),
)
"""The curtain's upper rows: its first lie below the cap of hair."""

HANGING = (0.15, 0.32, 0.5, 0.66, 0.82, 0.93, 1.0)
"""The lower rows, as shares of the way to its end."""

THICK = 0.07
"""Between the outer and the inner wall."""

PRESSED = 0.16
"""How far long hair presses the ears to the head, as a share of their distance from the middle."""


def lift(
    fields: Float32[Tensor, "7 vertices"], tones: Float32[Tensor, "tones people"]
) -> Float32[Tensor, "vertices people"]:
    """How far hair lifts each vertex, with locks, and with none where the crown is bare."""
    x, y, z = fields[:3, :, None]
    phase, phase2, thickness, crown, wave = tones[[15, 16, 17, 18, 23]]
    locks = torch.sin(19 * x + 6 * y + phase) * torch.sin(15 * z - 8 * y + phase2)
    locks = locks + 0.6 * torch.sin(31 * x - 13 * z + phase2) * torch.sin(23 * y + phase)
    bare = crown * bareness(y, z)
    # Thick hair stands up more than out.
    above = ((y - 0.08) * (1 / 0.42)).clamp(0, 1)
    flat = 1 - (thickness * 14).clamp(max=0.7) * (1 - above * above * (3 - 2 * above))
    grown: Tensor = hair_volume(fields, tones) * flat * (1 + wave * locks) * (1 - bare)
    return grown


def bareness(y: Tensor, z: Tensor) -> Tensor:
    """Where hair goes first: the top of the head, not its sides and back; 0 to 1."""
    t = ((y + 0.35 * z - 0.22) * (1 / 0.12)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@final
class Curtain:
    """Long hair: an outer and an inner wall round the head's back and sides.

    Args:
        fields: Of the head's vertices (see `albedo.skin`).
    """

    def __init__(self, fields: Float32[Tensor, "7 vertices"]) -> None:
        y, ear = fields[1], fields[5]
        self.ears = (ear > 0.6).nonzero()[:, 0]
        self.back = ((y > -0.15) & (y < 0.3) & (ear < 0.1)).nonzero()[:, 0]
        rows = len(PROFILE) + len(HANGING)
        outer = wall(rows, COLUMNS, closed=False)
        inner = wall(rows, COLUMNS, closed=False, start=rows * COLUMNS).flip(1)
        # Both edges at the face, and the end below.
        ring = torch.arange(rows) * COLUMNS
        edges = []
        for column, turned in ((0, False), (COLUMNS - 1, True)):
            a, b = ring + column, ring + column + rows * COLUMNS
            strip = torch.cat((torch.stack((a[:-1], b[:-1], a[1:]), 1),
                               torch.stack((a[1:], b[:-1], b[1:]), 1)))  # fmt: skip
            edges.append(strip.flip(1) if turned else strip)
        a = torch.arange(COLUMNS) + (rows - 1) * COLUMNS
        b = a + rows * COLUMNS
        end = torch.cat((torch.stack((a[:-1], b[:-1], a[1:]), 1),
                         torch.stack((a[1:], b[:-1], b[1:]), 1))).flip(1)  # fmt: skip
        self.triangles = torch.cat((outer, inner, *edges, end.flip(1))).flip(1).to(fields.device)
        self.count = 2 * rows * COLUMNS
        upper = torch.tensor(PROFILE)
        self.heights = upper[:, 0].to(fields.device)
        self.shares = upper[:, 1].to(fields.device)
        self.hanging = torch.tensor(HANGING, device=fields.device)

    def vertices(
        self, head: Float32[Tensor, "3 vertices people"], tones: Tensor, curtain: Tensor
    ) -> Float32[Tensor, "3 curtain people"]:
        """Points of both walls, row by row; at the origin where hair is short."""
        there, end, reach, width, wave = curtain
        phase = tones[15]
        wide = head[0, self.ears].abs().amax(0) + 0.012
        deep = -head[2, self.back].amin(0) + 0.015
        front = 0.40
        upper = self.heights[:, None].expand(-1, head.shape[2])
        height = torch.cat((upper, self.hanging[:, None] * end))  # rows, people
        share = torch.cat(
            (self.shares[:, None].expand_as(upper),
             1.03 + (width - 1.03) * (self.hanging[:, None] ** 1.5))
        )  # fmt: skip
        tuck = torch.ones_like(height)
        tuck[-1], tuck[-2] = 0.93, 0.985
        # Hair frames the face closely above and opens below.
        fall = (0.22 - height).clamp(0, 0.6)
        rise = (height - 0.08).clamp(0, 0.28)
        most = torch.deg2rad(reach - 24 * fall - 110 * rise)
        u = torch.linspace(-1, 1, COLUMNS, device=head.device)
        bearing = u[None, :, None] * most[:, None]  # rows, columns, people; 0 at the back
        sine, cosine = bearing.sin(), bearing.cos()
        waves = wave * torch.sin(9 * bearing + 14 * height[:, None] + phase)
        waves = waves + 0.5 * wave * torch.sin(23 * bearing - 9 * height[:, None] + 2 * phase)
        waves = waves * (height[:, None] < 0.2)
        # Towards the face the curtain thins out and lies closer.
        edge = u[None, :, None].abs() ** 6
        walls = []
        for wall_inset in (0.0, THICK):
            inset = wall_inset * (1 - 0.8 * edge)
            radius = share[:, None] * tuck[:, None] * (1 + waves) * (1 - 0.06 * edge)
            x = sine * (wide - inset) * radius
            depth = torch.where(cosine > 0, deep - inset, front - inset)
            z = -cosine * depth * radius
            ragged = 0.02 * torch.sin(13 * bearing + 3 * phase) + 0.012 * torch.sin(31 * bearing)
            y = height[:, None] + ragged * (height[:, None] - 0.1).clamp(-0.4, 0) / -0.4
            walls.append(torch.stack((x, y, z)))
        surface: Tensor = torch.stack(walls, 1).flatten(1, 3) * there
        return surface

    def fields(self) -> Float32[Tensor, "3 curtain"]:
        """Bearing, height and wall of each point: where the strands run."""
        rows = len(PROFILE) + len(HANGING)
        u = torch.linspace(-1, 1, COLUMNS).expand(2, rows, -1)
        v = torch.linspace(0.36, -0.6, rows)[:, None].expand(2, -1, COLUMNS)
        w = torch.tensor([0.0, 1.0])[:, None, None].expand_as(u)
        return torch.stack((u, v, w)).flatten(1).to(self.heights.device)
