"""A batched z-buffer in plain PyTorch: many meshes of one topology, one picture each.

Every step is a tensor operation over the whole batch, the same on a CPU and on CUDA; a GPU with
Triton finds the same hits in one kernel (kernels.zbuffer). A triangle is tried against the samples
of a square block around it; blocks come in a few sizes, so small triangles waste little. Depth and
triangle number share one 64-bit integer, and the nearest is a ``scatter_reduce`` with ``amax``.
Images (or hits) are the innermost axis everywhere: to gather a vertex is then to copy a row, which
a CPU does twenty times faster than picking single numbers.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pyro_dcign.machine import usable

BLOCKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, *(2**k for k in range(5, 15)))
_EDGE = -1e-4  # barycentric slack: neighbours overlap by a hair rather than leave a crack
_FAR = 1 << 32  # a packed value below this has depth bits 0: nothing was hit


@dataclass(frozen=True)
class Hits:
    """Samples at which a surface is seen, in the order of ``sample``.

    Attributes:
        sample: Flat index into (images, side, side), ascending.
        image: Which image that is.
        triangle: Which triangle of the topology.
        weight: Barycentric weights of its corners in space (not on the screen).
    """

    sample: Int64[Tensor, " hits"]
    image: Int64[Tensor, " hits"]
    triangle: Int64[Tensor, " hits"]
    weight: Float32[Tensor, "3 hits"]


def nearest(
    screen: Float32[Tensor, "3 vertices images"],
    triangles: Int64[Tensor, "triangles 3"],
    *,
    side: int,
    cull: bool = True,
) -> Int64[Tensor, "images side side"]:
    """The nearest triangle at every sample, packed as ``nearness bits << 32 | triangle``.

    Args:
        screen: Column and row in samples (sample i is centred on i + 0.5) and a positive nearness
            that is linear on the screen, such as 1 / depth.
        triangles: Corners, anticlockwise when seen from outside.
        side: Samples a side.
        cull: Leave out triangles that face away.

    Returns:
        Packed values; below 2^32 where there is no surface.
    """
    if usable(screen):
        from pyro_dcign.scenes.kernels.zbuffer import nearest as fused  # noqa: PLC0415

        return fused(screen, triangles, side=side, cull=cull, edge=_EDGE)
    device = screen.device
    images = screen.shape[2]
    corners = [axis.index_select(0, triangles[:, k]) for axis in screen for k in range(3)]
    ax, bx, cx, ay, by, cy = corners[:6]
    left, right = _span(ax, bx, cx, side)
    top, bottom = _span(ay, by, cy, side)
    wide, high = right - left, bottom - top
    # Rows run downwards, so a triangle that faces us has negative area here.
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    seen = (area < -1e-9 if cull else area.abs() > 1e-9) & (torch.minimum(wide, high) >= 0)
    extent = torch.maximum(wide, high).add_(1).mul_(seen).to(torch.int16)
    extent = extent.T.flatten()  # image by image, so that a block is written where the last one was

    packed = torch.zeros(images * side * side, dtype=torch.int64, device=device)
    table = [x.flatten() for x in (*corners, left, top)]
    previous = 0
    for size in BLOCKS:
        if previous >= side:
            break
        chosen = ((extent > previous) & (extent <= size)).nonzero().squeeze(1)
        previous = size
        if len(chosen):
            image = chosen // len(triangles)
            triangle = chosen - image * len(triangles)
            at = triangle * images + image
            rows = [x.index_select(0, at) for x in table]
            _fill(packed, rows, image, triangle, block=min(size, side), side=side)
    return packed.view(images, side, side)


def _span(a: Tensor, b: Tensor, c: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """First and last sample between three coordinates, kept to the frame."""
    low = torch.minimum(torch.minimum(a, b), c)
    high = torch.maximum(torch.maximum(a, b), c)
    return low.sub_(0.5).ceil_().clamp_(min=0), high.sub_(0.5).floor_().clamp_(max=side - 1)


def _fill(
    packed: Int64[Tensor, " samples"],
    rows: list[Tensor],
    image: Int64[Tensor, " chosen"],
    triangle: Int64[Tensor, " chosen"],
    *,
    block: int,
    side: int,
) -> None:
    """Try the chosen triangles at the samples of their blocks."""
    ax, bx, cx, ay, by, cy, aw, bw, cw, left, top = rows
    # Shifted inwards at the frame's right and lower edge, a block never leaves the picture.
    left, top = left.clamp_(max=side - block), top.clamp_(max=side - block)
    px, py = left + 0.5, top + 0.5
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
    # Triangles innermost, so that every operation runs over long contiguous rows.
    step = torch.arange(block, dtype=torch.float32, device=packed.device)[:, None]

    def plane(at: Tensor, col: Tensor, row: Tensor) -> Tensor:
        return (at + row * step)[:, None] + (col * step)[None]

    inside = plane(a_at, a_col, a_row)
    inside = torch.minimum(inside, plane(b_at, b_col, b_row))
    inside = torch.minimum(inside, plane(c_at, c_col, c_row))
    near = plane(w_at, w_col, w_row).clamp_(min=0)
    near = near.mul_(inside >= _EDGE)
    value = torch.empty((*near.shape, 2), dtype=torch.int32, device=packed.device)
    value[..., 0] = triangle.to(torch.int32)
    value[..., 1] = near.view(torch.int32)  # little-endian: the high word decides
    start = (image * side + top.long()) * side + left.long()
    grid = torch.arange(block, device=packed.device)
    where = start + (grid[:, None] * side + grid)[:, :, None]
    packed.scatter_reduce_(0, where.flatten(), value.view(torch.int64).flatten(), "amax")


def resolve(
    packed: Int64[Tensor, "images side side"],
    screen: Float32[Tensor, "3 vertices images"],
    triangles: Int64[Tensor, "triangles 3"],
) -> Hits:
    """Hits of a z-buffer, with weights corrected for perspective (``screen[2]`` is 1 / depth)."""
    images, side, _ = packed.shape
    flat = packed.flatten()
    sample = (flat >= _FAR).nonzero().squeeze(1)
    triangle = flat.index_select(0, sample) & 0xFFFFFFFF
    image = sample // (side * side)
    row = sample // side
    px = (sample - row * side) + 0.5
    py = (row - image * side) + 0.5
    corner = triangles.T.contiguous().index_select(1, triangle).mul_(images).add_(image)
    table = screen.flatten(1)
    (ax, ay, aw), (bx, by, bw), (cx, cy, cw) = (table.index_select(1, c) for c in corner)
    scale = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    b = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) * scale
    c = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * scale
    weight = torch.stack(((1 - b - c) * aw, b * bw, c * cw))
    return Hits(sample, image, triangle, weight / weight.sum(0))


def interpolate(
    table: Float32[Tensor, "channels rows"],
    corner: Int64[Tensor, "3 hits"],
    weight: Float[Tensor, "3 hits"],
) -> Float32[Tensor, "channels hits"]:
    """Attributes at hits from those of the corners, which are columns of the table."""
    out = table.index_select(1, corner[0]).mul_(weight[0])
    out.addcmul_(table.index_select(1, corner[1]), weight[1])
    return out.addcmul_(table.index_select(1, corner[2]), weight[2])
