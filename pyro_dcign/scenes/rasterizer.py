"""A batched z-buffer in plain PyTorch: many meshes of one topology, one picture each.

Every step is a tensor operation over the whole batch, the same on a CPU and on CUDA. A triangle
is tried against the samples of a square block around it; blocks come in a few sizes, so small
triangles waste little. Depth and triangle number share one 64-bit integer, and the nearest is a
``scatter_reduce`` with ``amax``.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

BLOCKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512)
_EDGE = -1e-4  # barycentric slack: neighbours overlap by a hair rather than leave a crack
_FAR = 1 << 32  # a packed value below this has depth bits 0: nothing was hit


@dataclass(frozen=True)
class Hits:
    """Samples at which a surface is seen, in the order of ``sample``.

    Attributes:
        sample: Flat index into (images, side, side).
        triangle: Which triangle of the topology.
        weight: Barycentric weights of its corners in space (not on the screen).
    """

    sample: Int64[Tensor, " hits"]
    triangle: Int64[Tensor, " hits"]
    weight: Float32[Tensor, "hits 3"]


def nearest(
    screen: Float32[Tensor, "3 images vertices"],
    triangles: Int64[Tensor, "triangles 3"],
    *,
    side: int,
    cull: bool = True,
) -> Int64[Tensor, "images side side"]:
    """The nearest triangle at every sample, packed as ``nearness bits << 32 | triangle``.

    This is the step to replace by a faster kernel.

    Args:
        screen: Column and row in samples (sample i is centred on i + 0.5) and a positive nearness
            that is linear on the screen, such as 1 / depth.
        triangles: Corners, anticlockwise when seen from outside.
        side: Samples a side.
        cull: Leave out triangles that face away.

    Returns:
        Packed values; below 2^32 where there is no surface.
    """
    device = screen.device
    images = screen.shape[1]
    a, b, c = (screen.index_select(2, triangles[:, k]) for k in range(3))
    low = torch.minimum(torch.minimum(a[:2], b[:2]), c[:2])
    high = torch.maximum(torch.maximum(a[:2], b[:2]), c[:2])
    first = (low - 0.5).ceil_().clamp_(min=0)
    last = (high - 0.5).floor_().clamp_(max=side - 1)
    # Rows run downwards, so a triangle that faces us has negative area here.
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    span = (last - first).add_(1)
    extent = torch.where(span.amin(0) > 0, span.amax(0), 0)
    seen = area < -1e-9 if cull else area.abs() > 1e-9
    extent = torch.where(seen, extent, 0).to(torch.int16).flatten()

    packed = torch.zeros(images * side * side, dtype=torch.int64, device=device)
    corners = torch.stack((a, b, c)).flatten(2)  # corner, coordinate, image x triangle
    first = first.flatten(1)
    previous = 0
    for size in BLOCKS:
        if previous >= side:
            break
        block = min(size, side)
        chosen = ((extent > previous) & (extent <= size)).nonzero().squeeze(1)
        previous = size
        if len(chosen):
            _fill(packed, corners, first, chosen, count=len(triangles), block=block, side=side)
    return packed.view(images, side, side)


def _fill(
    packed: Int64[Tensor, " samples"],
    corners: Float32[Tensor, "3 3 all"],
    first: Float32[Tensor, "2 all"],
    chosen: Int64[Tensor, " chosen"],
    *,
    count: int,
    block: int,
    side: int,
) -> None:
    """Try the chosen triangles at the samples of their blocks."""
    # Shifted inwards at the frame's right and lower edge, a block never leaves the picture.
    column, row = first.index_select(1, chosen).clamp_(max=side - block)
    (ax, ay, aw), (bx, by, bw), (cx, cy, cw) = corners.index_select(2, chosen)
    image = chosen // count
    triangle = chosen - image * count
    px, py = column + 0.5, row + 0.5
    scale = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    # Weight of a corner: value at the block's first sample, and its change a column and a row.
    b_col, b_row = (cy - ay) * scale, (ax - cx) * scale
    c_col, c_row = (ay - by) * scale, (bx - ax) * scale
    b_at = (px - ax) * b_col + (py - ay) * b_row
    c_at = (px - ax) * c_col + (py - ay) * c_row
    a_at, a_col, a_row = 1 - b_at - c_at, -b_col - c_col, -b_row - c_row
    w_at = aw * a_at + bw * b_at + cw * c_at
    w_col = aw * a_col + bw * b_col + cw * c_col
    w_row = aw * a_row + bw * b_row + cw * c_row
    step = torch.arange(block, dtype=torch.float32, device=packed.device)

    def plane(at: Tensor, col: Tensor, row: Tensor) -> Tensor:
        down = torch.addcmul(at[:, None], row[:, None], step)
        return down[:, :, None] + (col[:, None] * step)[:, None, :]

    inside = plane(a_at, a_col, a_row)
    inside = torch.minimum(inside, plane(b_at, b_col, b_row))
    inside = torch.minimum(inside, plane(c_at, c_col, c_row))
    near = plane(w_at, w_col, w_row)
    near = near.masked_fill_(inside < _EDGE, 0).clamp_(min=0)
    value = torch.empty((*near.shape, 2), dtype=torch.int32, device=packed.device)
    value[..., 0] = triangle.to(torch.int32)[:, None, None]
    value[..., 1] = near.view(torch.int32)  # little-endian: the high word decides
    grid = torch.arange(block, device=packed.device)
    grid = (grid[:, None] * side + grid).flatten()
    start = (image * side + row.long()) * side + column.long()
    where = start[:, None] + grid
    packed.scatter_reduce_(
        0, where.flatten(), value.view(torch.int64).flatten(), "amax", include_self=True
    )


def resolve(
    packed: Int64[Tensor, "images side side"],
    screen: Float32[Tensor, "3 images vertices"],
    triangles: Int64[Tensor, "triangles 3"],
) -> Hits:
    """Hits of a z-buffer, with weights corrected for perspective (``screen[2]`` is 1 / depth)."""
    images, side, _ = packed.shape
    flat = packed.flatten()
    sample = (flat >= _FAR).nonzero().squeeze(1)
    triangle = flat.index_select(0, sample) & 0xFFFFFFFF
    image = sample // (side * side)
    within = sample - image * (side * side)
    py = within // side
    px = (within - py * side) + 0.5
    py = py + 0.5
    vertices = screen.shape[2]
    rows = screen.permute(1, 2, 0).reshape(images * vertices, 3)
    corner = triangles.index_select(0, triangle) + (image * vertices)[:, None]
    (ax, ay, aw), (bx, by, bw), (cx, cy, cw) = (
        rows.index_select(0, corner[:, k]).unbind(1) for k in range(3)
    )
    scale = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    b = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) * scale
    c = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * scale
    weight = torch.stack(((1 - b - c) * aw, b * bw, c * cw), 1)
    return Hits(sample, triangle, weight / weight.sum(1, keepdim=True))


def interpolate(
    rows: Float32[Tensor, "rows channels"],
    corner: Int64[Tensor, "hits 3"],
    weight: Float[Tensor, "hits 3"],
) -> Float32[Tensor, "hits channels"]:
    """Attributes at hits from those of the corners' rows."""
    out = rows.index_select(0, corner[:, 0]) * weight[:, :1]
    out = torch.addcmul(out, rows.index_select(0, corner[:, 1]), weight[:, 1:2])
    return torch.addcmul(out, rows.index_select(0, corner[:, 2]), weight[:, 2:3])
