"""Necks, shoulders and garments: rings below the border of a head's mesh."""

from typing import final

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pyro_dcign.scenes.loft import spline, wall
from pyro_dcign.scenes.looks import COLLARS

SKIN = (0.3, 0.6, 0.9, 1.2, 1.5, 1.9, 2.4, 3.0)
"""Where the rings of bare skin lie along the way from the neck's border (0) to the chest (6)."""

CLOTH = (0.0, 0.0, 0.25, 0.5, 0.55, 0.85, 1.2, 1.7, 2.3, 3.0, 3.8, 5.0)
"""Where the rings of a garment lie, from its neckline on; the first is inside the skin."""

KEYS = (
    # side, front and back height; half width and depth; middle's depth
    (-0.70, -0.79, -0.56, 0.285, 0.25, -0.125),
    (-0.79, -0.90, -0.66, 0.46, 0.30, -0.15),
    (-0.88, -1.03, -0.79, 0.72, 0.34, -0.16),
    (-1.02, -1.18, -0.96, 0.93, 0.37, -0.16),
    (-1.30, -1.40, -1.25, 1.01, 0.42, -0.15),
    (-2.00, -2.00, -2.00, 1.00, 0.45, -0.13),
)
"""Body of the mean person, ring by ring from the base of the neck."""

OFFSETS = {
    "crew": (-0.03, 1.0, 1.0, 1.0, 1.0),
    "deep": (-0.03, 1.0, 1.0, 1.0, 1.0),
    "high": (-0.03, 1.1, 1.1, 1.1, 1.0),
    "folded": (-0.03, 1.3, 2.2, 2.9, 1.0),
}
"""How far a garment's first rings stand off the skin, in its thickness; below 0, in heads."""

STARTS = {  # where the neckline lies along the way: at the back, and in front
    "crew": (0.95, 1.15),
    "deep": (1.0, 2.1),
    "high": (0.25, 0.3),
    "folded": (0.45, 1.0),
}


@final
class Body:
    """What hangs below a head: more skin, and a garment with a collar.

    Args:
        mean: The mean head.
        triangles: Its topology, whose lower border the body continues.
        start: Number of the body's first vertex.
    """

    def __init__(
        self,
        mean: Float32[Tensor, "3 vertices"],
        triangles: Int64[Tensor, "triangles 3"],
        *,
        start: int,
    ) -> None:
        self.loop = min(borders(triangles), key=lambda loop: float(mean[1, loop].mean()))
        edge = mean[:, self.loop]
        self.middle = edge[[0, 2]].mean(1)
        bearing = torch.atan2(edge[0] - self.middle[0], edge[2] - self.middle[1])
        self.sine, self.cosine = bearing.sin()[:, None], bearing.cos()[:, None]
        around = len(self.loop)
        n = len(SKIN)
        below = wall(n + 1, around)
        first = torch.cat((self.loop.cpu(), torch.arange(n * around) + start))
        skin = first[below]
        garment = wall(len(CLOTH), around, start=start + n * around)
        self.triangles = torch.cat((skin, garment)).to(mean.device)
        self.skin = n * around
        self.count = self.skin + len(CLOTH) * around
        self.keys = torch.tensor(KEYS, device=mean.device)
        self.starts = torch.tensor([(0.0, 0.0), *STARTS.values()], device=mean.device)
        self.offsets = torch.tensor([(0.0,) * 5, *OFFSETS.values()], device=mean.device)

    def vertices(
        self,
        head: Float32[Tensor, "3 vertices people"],
        collar: Float32[Tensor, "4 people"],
    ) -> Float32[Tensor, "3 body people"]:
        """Rings of skin, then of the garment, which lies at the origin where the neck is cut."""
        kind, breadth, slope, thick = collar
        kind = kind.long()
        edge = head[:, self.loop]
        wide = (edge[0].amax(0) - edge[0].amin(0)) * 0.5 / 0.245
        rings = self._rings(edge, breadth, slope, wide)
        n, around, people = len(SKIN), len(self.loop), head.shape[2]

        at = torch.tensor(SKIN, device=head.device)[:, None, None].expand(-1, around, people)
        # A neck that is cut ends in a disc: a ring at the border, the others in the middle.
        middle = edge.mean(1, keepdim=True).expand(-1, around, -1)
        disc = torch.stack((edge, *[middle] * (n - 1)), 1)
        bare = torch.where(kind > 0, self._surface(rings, at), disc)

        back, front = self.starts[kind].T
        sharp = torch.where(kind == list(COLLARS).index("deep"), 5.0, 2.0)
        start = back + (front - back) * (0.5 + 0.5 * self.cosine) ** sharp
        at = start + torch.tensor(CLOTH, device=head.device)[:, None, None]
        offset = self.offsets[kind].T[:, None]
        offset = torch.where(offset < 0, offset, offset * thick)
        offset = torch.cat((offset, thick.expand(len(CLOTH) - 5, 1, people)))
        # The fold of a collar opens in front.
        offset = torch.where(
            offset > 1.5 * thick, offset * (1 - 0.4 * self.cosine.clamp(min=0)), offset
        )
        cloth = self._surface(rings, at.clamp(max=len(KEYS)))
        cloth = (
            cloth
            + offset
            * torch.stack(
                torch.broadcast_tensors(self.sine, 0.6 * torch.ones_like(self.sine), self.cosine)
            )[:, None]
        )
        return torch.cat((bare, cloth * (kind > 0)), 1).flatten(1, 2)

    def fields(
        self, mean: Float32[Tensor, "3 vertices"]
    ) -> tuple[Float32[Tensor, "3 skin"], Float32[Tensor, "3 cloth"]]:
        """Positions on the mean person."""
        collar = torch.tensor([[1.0], [1.0], [1.0], [0.02]], device=mean.device)
        both = self.vertices(mean[:, :, None], collar)[:, :, 0]
        return both[:, : self.skin], both[:, self.skin :]

    def _rings(self, edge: Tensor, breadth: Tensor, slope: Tensor, wide: Tensor) -> Tensor:
        """Key rings, the head's border first: (keys, 3, around, people)."""
        rings = [edge]
        down = edge[1].mean(0) + 0.562  # where this person's neck ends, against the mean person
        for k, (side, front, back, width, depth, middle) in enumerate(self.keys):
            share = min(1.0, k / 3)
            scale = wide + (breadth - wide) * share
            c = self.cosine
            y = side + (front - side) * c.clamp(min=0) ** 1.5
            y = y + (back - side) * (-c).clamp(min=0) ** 1.5
            y = self.keys[0, 0] + (y - self.keys[0, 0]) * slope + down * (1 - share)
            power = 1.0 - 0.25 * share  # shoulders are squarer than a neck
            x = width * scale * self.sine.sign() * self.sine.abs() ** power
            z = middle + depth * (0.5 + 0.5 * scale) * c.sign() * c.abs() ** power
            rings.append(torch.stack(torch.broadcast_tensors(x, y, z)))
        return torch.stack(rings)

    def _surface(self, rings: Tensor, at: Tensor) -> Tensor:
        """Points along the way, (3, rings, around, people)."""
        return torch.stack([spline(rings[:, axis], at) for axis in range(3)])


def borders(triangles: Int64[Tensor, "triangles 3"]) -> list[Int64[Tensor, " loop"]]:
    """Vertices of each border, in the direction of the triangles that it bounds."""
    corners = triangles.cpu()
    edges = torch.cat((corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]))
    known = {(a, b) for a, b in edges.tolist()}
    after = {a: b for a, b in sorted(known) if (b, a) not in known}
    loops = []
    while after:
        loop = [next(iter(after))]
        while loop[-1] in after:
            loop.append(after.pop(loop[-1]))
        loops.append(torch.tensor(loop[:-1], device=triangles.device))
    return loops
