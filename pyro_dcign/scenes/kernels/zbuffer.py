"""The z-buffer of a batch of meshes in one kernel: a warp takes one triangle after another."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Int64
from torch import Tensor

EACH = 8
"""Triangles of a program, one after another."""

LANES = 32
"""Samples of a triangle that are tried at once."""


@triton.jit
def _low(a, b, c):
    return tl.maximum(tl.ceil(tl.minimum(tl.minimum(a, b), c) - 0.5), 0.0)


@triton.jit
def _high(a, b, c, side):
    return tl.minimum(tl.floor(tl.maximum(tl.maximum(a, b), c) - 0.5), side - 1.0)


@triton.jit
def _block(extent):
    """The block of scenes.rasterizer.BLOCKS: where rounding starts from."""
    size = 1
    for _ in tl.static_range(14):
        size = tl.where(size < extent, 2 * size, size)
    three = size * 3 // 4
    return tl.where((size >= 4) & (size <= 32) & (extent <= three), three, size)


@triton.jit
def _nearest(screen, triangles, packed, count, vertices, images, side, edge, CULL: tl.constexpr,
             EACH: tl.constexpr, LANES: tl.constexpr):  # fmt: skip
    image, lane = tl.program_id(0), tl.arange(0, LANES)
    across = vertices * images
    picture = packed + image.to(tl.int64) * side * side
    for k in range(EACH):
        t = tl.program_id(1) * EACH + k
        if t < count:
            a = screen + tl.load(triangles + 3 * t) * images + image
            b = screen + tl.load(triangles + 3 * t + 1) * images + image
            c = screen + tl.load(triangles + 3 * t + 2) * images + image
            ax, ay = tl.load(a), tl.load(a + across)
            bx, by = tl.load(b), tl.load(b + across)
            cx, cy = tl.load(c), tl.load(c + across)
            left, right = _low(ax, bx, cx), _high(ax, bx, cx, side)
            top, bottom = _low(ay, by, cy), _high(ay, by, cy, side)
            wide, high = right - left, bottom - top
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            faces = area < -1e-9 if CULL else tl.abs(area) > 1e-9
            if faces & (tl.minimum(wide, high) >= 0):
                aw, bw = tl.load(a + 2 * across), tl.load(b + 2 * across)
                cw = tl.load(c + 2 * across)
                size = tl.minimum(_block((tl.maximum(wide, high) + 1).to(tl.int32)), side)
                # Every value is what the block of the plain path gives, in its order of rounding.
                x0 = tl.minimum(left, (side - size).to(tl.float32))
                y0 = tl.minimum(top, (side - size).to(tl.float32))
                px, py = x0 + 0.5, y0 + 0.5
                scale = tl.div_rn(1.0, area)
                b_col, b_row = (cy - ay) * scale, (ax - cx) * scale
                c_col, c_row = (ay - by) * scale, (bx - ax) * scale
                b_at = (px - ax) * b_col + (py - ay) * b_row
                c_at = (px - ax) * c_col + (py - ay) * c_row
                a_at, a_col, a_row = 1 - b_at - c_at, -b_col - c_col, -b_row - c_row
                w_at = aw * a_at + bw * b_at + cw * c_at
                w_col = aw * a_col + bw * b_col + cw * c_col
                w_row = aw * a_row + bw * b_row + cw * c_row
                # A sample more for the slack, and none beyond the block.
                x1, y1 = tl.maximum(left - 1, x0), tl.maximum(top - 1, y0)
                columns = (tl.minimum(right + 1, x0 + size - 1) - x1 + 1).to(tl.int32)
                rows = (tl.minimum(bottom + 1, y0 + size - 1) - y1 + 1).to(tl.int32)
                for start in range(0, columns * rows, LANES):
                    s = start + lane
                    down = s // columns
                    i = (x1 - x0) + (s - down * columns).to(tl.float32)
                    j = (y1 - y0) + down.to(tl.float32)
                    inside = tl.minimum(a_at + a_row * j + a_col * i, b_at + b_row * j + b_col * i)
                    inside = tl.minimum(inside, c_at + c_row * j + c_col * i)
                    near = w_at + w_row * j + w_col * i
                    hit = (s < columns * rows) & (inside >= edge) & (near > 0)
                    bits = near.to(tl.int32, bitcast=True).to(tl.int64)
                    to = picture + (y0 + j).to(tl.int64) * side + (x0 + i).to(tl.int32)
                    tl.atomic_max(to, (bits << 32) | t, hit, sem="relaxed")


def nearest(
    screen: Float32[Tensor, "3 vertices images"],
    triangles: Int64[Tensor, "triangles 3"],
    *,
    side: int,
    cull: bool,
    edge: float,
) -> Int64[Tensor, "images side side"]:
    """:func:`pyro_dcign.scenes.rasterizer.nearest`, whose hits these are bit for bit.

    Args:
        screen: Column, row and nearness of each vertex.
        triangles: Corners.
        side: Samples a side.
        cull: Leave out triangles that face away.
        edge: Least barycentric weight of a sample that counts as inside.
    """
    screen = screen.contiguous()
    _, vertices, images = screen.shape
    packed = torch.zeros(images, side, side, dtype=torch.int64, device=screen.device)
    grid = (images, triton.cdiv(len(triangles), EACH))
    _nearest[grid](
        screen, triangles.contiguous(), packed, len(triangles), vertices, images, side, edge, cull,
        EACH, LANES, num_warps=1, enable_fp_fusion=False,
    )  # fmt: skip
    return packed
