"""Shadow maps: is a point on a surface lit by a distant lamp?"""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pyro_dcign.scenes.rasterizer import nearest


class ShadowMap:
    """Depths of a batch of meshes as their lamps see them.

    Args:
        vertices: Positions, one mesh an image.
        triangles: Topology; both faces throw shadows.
        lamp: Unit vectors towards the lamps.
        side: Texels a side; the map just holds the mesh.
        held: Hold only so many of the first vertices; what lies beyond them is lit.
    """

    def __init__(
        self,
        vertices: Float32[Tensor, "3 vertices images"],
        triangles: Int64[Tensor, "triangles 3"],
        lamp: Float32[Tensor, "images 3"],
        *,
        side: int,
        held: int | None = None,
    ) -> None:
        self.side = side
        axes = _frame(lamp)
        seen = turn(axes, vertices)
        low = seen[:2, :held].amin(1)
        widest = (seen[:2, :held].amax(1) - low).amax(0)
        low = torch.cat((low, seen[2:].amin(1)))
        scale = (side - 2) / widest  # texels a unit
        flat = torch.stack(
            (
                (seen[0] - low[0]) * scale + 1,
                (seen[1] - low[1]) * scale + 1,
                (seen[2] - low[2]) + 1,  # nearness from 1 upwards: positive, as packing needs
            )
        )
        packed = nearest(flat, triangles, side=side, cull=False)
        self.table = torch.cat((axes.flatten(1).T, low, scale[None]))
        depth = (packed >> 32).to(torch.int32).view(torch.float32)
        if held is not None:  # points beyond the map read its border
            depth[:, [0, -1]] = 0
            depth[:, :, [0, -1]] = 0
        self.depth: Tensor = depth.flatten()

    def lit(
        self,
        point: Float32[Tensor, "3 hits"],
        image: Int64[Tensor, " hits"],
        *,
        bias: float,
    ) -> Float32[Tensor, " hits"]:
        """Share of light, 0 to 1: four neighbouring texels compared, weighted bilinearly."""
        m = self.table.index_select(1, image)
        x, y, z = point
        u, v, w = (m[3 * k] * x + m[3 * k + 1] * y + m[3 * k + 2] * z - m[9 + k] for k in range(3))
        scale = m[12]
        u = (u * scale + 0.5).clamp(0, self.side - 1.001)
        v = (v * scale + 0.5).clamp(0, self.side - 1.001)
        w = w + (1 + bias)
        left, top = u.floor(), v.floor()
        fu, fv = u - left, v - top
        base = (image * self.side + top.long()) * self.side + left.long()

        def open_at(offset: int) -> Float32[Tensor, " hits"]:
            free: Tensor = self.depth.index_select(0, base + offset) <= w
            return free.float()

        upper = torch.lerp(open_at(0), open_at(1), fu)
        lower = torch.lerp(open_at(self.side), open_at(self.side + 1), fu)
        share: Tensor = torch.lerp(upper, lower, fv)
        return share


def _frame(toward: Float32[Tensor, "images 3"]) -> Float32[Tensor, "images 3 3"]:
    """Rows: two axes across the given direction, and the direction itself."""
    x, y, _ = toward.unbind(1)
    up = torch.stack((torch.zeros_like(x), torch.ones_like(x), torch.zeros_like(x)), 1)
    side = torch.stack((torch.ones_like(x), torch.zeros_like(x), torch.zeros_like(x)), 1)
    up = torch.where((y.abs() > 0.99)[:, None], side, up)
    across = torch.nn.functional.normalize(torch.linalg.cross(up, toward), dim=1)
    return torch.stack((across, torch.linalg.cross(toward, across), toward), 1)


def turn(
    matrix: Float32[Tensor, "images 3 3"], vertices: Float32[Tensor, "3 vertices images"]
) -> Float32[Tensor, "3 vertices images"]:
    """Matrix times position, spelt out: a batched matmul may round by the size of its batch."""
    x, y, z = vertices
    rows = matrix.permute(1, 2, 0).contiguous()
    return torch.stack([r[0] * x + r[1] * y + r[2] * z for r in rows])
