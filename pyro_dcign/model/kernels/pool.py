"""Bias, 2×2 max-pooling and ReLU of a convolution, channels last."""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.model.kernels.grid import PROGRAMS, blocks, pixels, power


@triton.jit
def _forward(y, bias, out, winner, total, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr,
             BM: tl.constexpr, BC: tl.constexpr):  # fmt: skip
    m = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    h: tl.constexpr = H // 2
    w: tl.constexpr = W // 2
    n, i, j = m // (h * w), (m // w) % h, m % w
    there = (m < total)[:, None] & (c < C)[None, :]
    corner = y + ((n * H + 2 * i) * W + 2 * j)[:, None] * C + c[None, :]
    best = tl.load(corner, there, 0.0).to(tl.float32)
    which = tl.zeros([BM, BC], tl.int32)
    for tap in tl.static_range(1, 4):
        v = tl.load(corner + ((tap // 2) * W + tap % 2) * C, there, 0.0).to(tl.float32)
        which = tl.where(v > best, tap, which)
        best = tl.maximum(v, best)
    best += tl.load(bias + c, c < C, 0.0).to(tl.float32)[None, :]
    at = m[:, None] * C + c[None, :]
    # 4: no tap, for a unit that the ReLU switches off.
    tl.store(winner + at, tl.where(best > 0, which, 4).to(tl.uint8), there)
    tl.store(out + at, tl.maximum(best, 0.0).to(out.dtype.element_ty), there)


@triton.jit
def _backward(g, winner, dy, partial, cells, programs, H: tl.constexpr, W: tl.constexpr,
              C: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):  # fmt: skip
    c = tl.arange(0, BC)
    h: tl.constexpr = (H + 1) // 2
    w: tl.constexpr = (W + 1) // 2
    total = tl.zeros([BC], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(cells, BM), programs):
        m = block * BM + tl.arange(0, BM).to(tl.int64)
        n, i, j = m // (h * w), (m // w) % h, m % w
        inside = (m < cells)[:, None] & (c < C)[None, :]
        # An odd last row or column belongs to no window: its cells only write zeros.
        pooled = inside & ((i < H // 2) & (j < W // 2))[:, None]
        at = ((n * (H // 2) + i) * (W // 2) + j)[:, None] * C + c[None, :]
        which = tl.load(winner + at, pooled, 4).to(tl.int32)
        v = tl.where(which < 4, tl.load(g + at, pooled, 0.0).to(tl.float32), 0.0)
        total += tl.sum(v, 0)
        for tap in tl.static_range(4):
            row, column = 2 * i + tap // 2, 2 * j + tap % 2
            to = dy + ((n * H + row) * W + column)[:, None] * C + c[None, :]
            there = inside & ((row < H) & (column < W))[:, None]
            tl.store(to, tl.where(which == tap, v, 0.0).to(dy.dtype.element_ty), there)
    tl.store(partial + tl.program_id(0) * C + c, total, c < C)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        n, channels, height, width = y.shape
        y = y.contiguous(memory_format=torch.channels_last)
        shape = (n, height // 2, width // 2, channels)
        out = torch.empty(shape, dtype=y.dtype, device=y.device)
        winner = torch.empty(shape, dtype=torch.uint8, device=y.device)
        block = pixels(channels, elements=2048)
        ctx.sizes = (height, width, channels, block, power(channels))
        total = n * shape[1] * shape[2]
        _forward[(blocks(total, block),)](y, bias, out, winner, total, *ctx.sizes)
        ctx.save_for_backward(winner, bias)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        winner, bias = ctx.saved_tensors
        height, width, channels, block, _ = ctx.sizes
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        n = len(g)
        dy = torch.empty(n, height, width, channels, dtype=g.dtype, device=g.device)
        cells = n * blocks(height, 2) * blocks(width, 2)
        programs = min(PROGRAMS, blocks(cells, block))
        partial = torch.empty(programs, channels, device=g.device)
        _backward[(programs,)](g, winner, dy, partial, cells, programs, *ctx.sizes)
        return dy.permute(0, 3, 1, 2), partial.sum(0).to(bias.dtype)


def pool(y: Float[Tensor, "n c h w"], bias: Float[Tensor, " c"]) -> Float[Tensor, "n c h2 w2"]:
    """ReLU of the 2×2 maxima of a convolution's output plus bias; h2 = ⌊h / 2⌋.

    The first of several equal maxima receives the gradient, as in PyTorch.
    """
    found: Tensor = _Pool.apply(y, bias)
    return found
