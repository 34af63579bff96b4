"""Shadow maps: is a point on a surface lit by a distant lamp?"""

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from pyro_dcign.scenes.rasterizer import nearest


class ShadowMap:
    """Depths of a batch of meshes as their lamps see them.

    Args:
        vertices: Positions, one mesh an image.
        triangles: Topology; both faces throw shadows.
        lamp: Unit vectors towards the lamps.
        side: Texels a side; the map just holds the mesh.
    """

    def __init__(
        self,
        vertices: Float32[Tensor, "images vertices 3"],
        triangles: Int64[Tensor, "triangles 3"],
        lamp: Float32[Tensor, "images 3"],
        *,
        side: int,
    ) -> None:
        self.side = side
        self.axes = _frame(lamp)
        seen = _apply(self.axes, vertices)
        low = seen.amin(2, keepdim=True)
        size = seen.amax(2, keepdim=True) - low
        widest = size[:2].amax(0)
        self.scale = (side - 2) / widest  # texels a unit
        self.low = low
        flat = torch.stack(
            (
                (seen[0] - low[0]) * self.scale + 1,
                (seen[1] - low[1]) * self.scale + 1,
                (seen[2] - low[2]) + 1,  # nearness from 1 upwards: positive, as packing needs
            )
        )
        packed = nearest(flat, triangles, side=side, cull=False)
        self.depth = (packed >> 32).to(torch.int32).view(torch.float32).flatten()

    def lit(
        self,
        point: Float32[Tensor, "hits 3"],
        image: Int64[Tensor, " hits"],
        *,
        bias: float,
    ) -> Float32[Tensor, " hits"]:
        """Share of light, 0 to 1: four neighbouring texels compared, weighted bilinearly."""
        axes = self.axes.index_select(0, image)
        low = self.low[:, :, 0].index_select(1, image)
        scale = self.scale[:, 0].index_select(0, image)
        u, v, w = ((axes[:, k] * point).sum(1) - low[k] for k in range(3))
        u = (u * scale + 0.5).clamp(0, self.side - 1.001)
        v = (v * scale + 0.5).clamp(0, self.side - 1.001)
        w = w + (1 + bias)
        left, top = u.floor(), v.floor()
        fu, fv = u - left, v - top
        base = (image * self.side + top.long()) * self.side + left.long()

        def free(offset: int) -> Bool[Tensor, " hits"]:
            return self.depth.index_select(0, base + offset) <= w

        upper = torch.lerp(free(0).float(), free(1).float(), fu)
        lower = torch.lerp(free(self.side).float(), free(self.side + 1).float(), fu)
        return torch.lerp(upper, lower, fv)


def _frame(toward: Float32[Tensor, "images 3"]) -> Float32[Tensor, "images 3 3"]:
    """Rows: two axes across the given direction, and the direction itself."""
    x, y, _ = toward.unbind(1)
    up = torch.stack((torch.zeros_like(x), torch.ones_like(x), torch.zeros_like(x)), 1)
    side = torch.stack((torch.ones_like(x), torch.zeros_like(x), torch.zeros_like(x)), 1)
    up = torch.where((y.abs() > 0.99)[:, None], side, up)
    across = torch.nn.functional.normalize(torch.linalg.cross(up, toward), dim=1)
    return torch.stack((across, torch.linalg.cross(toward, across), toward), 1)


def _apply(
    matrix: Float32[Tensor, "images 3 3"], vertices: Float32[Tensor, "images vertices 3"]
) -> Float32[Tensor, "3 images vertices"]:
    """Matrix times position, spelt out: a batched matmul may round by batch size."""
    x, y, z = (vertices[:, :, k] for k in range(3))
    m = matrix[:, :, :, None]
    return torch.stack([m[:, k, 0] * x + m[:, k, 1] * y + m[:, k, 2] * z for k in range(3)])
