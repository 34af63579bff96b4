"""Bias, ReLU and pixel shuffle of a folded unpooling convolution, channels last."""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.model.kernels.grid import PROGRAMS, blocks, pixels, power


@triton.jit
def _forward(y, bias, out, cells, H: tl.constexpr, W: tl.constexpr, S: tl.constexpr,
             C: tl.constexpr, P: tl.constexpr, RELU: tl.constexpr, BM: tl.constexpr,
             BC: tl.constexpr):  # fmt: skip
    m = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    n, i, j = m // (H * W), (m // W) % H, m % W
    b = tl.load(bias + c, c < C, 0.0).to(tl.float32)
    for p in tl.static_range(2):
        for q in tl.static_range(2):
            row, column = 2 * i + p, 2 * j + q
            there = ((m < cells) & (row < S) & (column < S))[:, None] & (c < C)[None, :]
            v = tl.load(y + m[:, None] * P + (p * 2 + q) * C + c[None, :], there, 0.0)
            v = v.to(tl.float32) + b[None, :]
            if RELU:
                v = tl.maximum(v, 0.0)
            at = ((n * S + row) * S + column)[:, None] * C + c[None, :]
            tl.store(out + at, v.to(out.dtype.element_ty), there)


@triton.jit
def _backward(g, out, dy, partial, cells, programs, H: tl.constexpr, W: tl.constexpr,
              S: tl.constexpr, C: tl.constexpr, P: tl.constexpr, RELU: tl.constexpr,
              BM: tl.constexpr, BC: tl.constexpr):  # fmt: skip
    c = tl.arange(0, BC)
    total = tl.zeros([BC], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(cells, BM), programs):
        m = block * BM + tl.arange(0, BM).to(tl.int64)
        n, i, j = m // (H * W), (m // W) % H, m % W
        for p in tl.static_range(2):
            for q in tl.static_range(2):
                row, column = 2 * i + p, 2 * j + q
                inside = (m < cells)[:, None] & (c < C)[None, :]
                there = inside & ((row < S) & (column < S))[:, None]
                at = ((n * S + row) * S + column)[:, None] * C + c[None, :]
                v = tl.load(g + at, there, 0.0).to(tl.float32)
                if RELU:
                    v = tl.where(tl.load(out + at, there, 0.0) > 0, v, 0.0)
                total += tl.sum(v, 0)
                to = dy + m[:, None] * P + (p * 2 + q) * C + c[None, :]
                tl.store(to, v.to(dy.dtype.element_ty), inside)
        for extra in tl.static_range(4 * C, P):
            tl.store(dy + m * P + extra, tl.zeros([BM], dy.dtype.element_ty), m < cells)
    tl.store(partial + tl.program_id(0) * C + c, total, c < C)


class _Shuffle(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, bias: Tensor, size: int, relu: bool, dtype: torch.dtype
    ) -> Tensor:
        n, padded, height, width = y.shape
        channels = bias.numel()
        y = y.contiguous(memory_format=torch.channels_last)
        out = torch.empty(n, size, size, channels, dtype=dtype, device=y.device)
        cells, block = n * height * width, pixels(channels)
        ctx.sizes = (height, width, size, channels, padded, relu, block, power(channels))
        _forward[(blocks(cells, block),)](y, bias, out, cells, *ctx.sizes)
        ctx.save_for_backward(out if relu else None, bias)
        ctx.like, ctx.shape = y.dtype, y.shape
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        out, bias = ctx.saved_tensors
        n, padded, height, width = ctx.shape
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        dy = torch.empty(n, height, width, padded, dtype=ctx.like, device=g.device)
        cells = n * height * width
        programs = min(PROGRAMS, blocks(cells, ctx.sizes[-2]))
        partial = torch.empty(programs, bias.numel(), device=g.device)
        held = g if out is None else out
        _backward[(programs,)](g, held, dy, partial, cells, programs, *ctx.sizes)
        return dy.permute(0, 3, 1, 2), partial.sum(0).to(bias.dtype), None, None, None


def shuffle(
    y: Float[Tensor, "n phases_outputs h w"],
    bias: Float[Tensor, " outputs"],
    *,
    size: int,
    relu: bool,
    dtype: torch.dtype,
) -> Float[Tensor, "n outputs size size"]:
    """Pixel shuffle of a convolution with the kernel of :func:`fold`, plus bias, cropped.

    Args:
        y: Its output, without bias.
        bias: Of each map.
        size: Rows and columns kept, from the top left.
        relu: Apply ReLU.
        dtype: Of the result.
    """
    found: Tensor = _Shuffle.apply(y, bias, size, relu, dtype)
    return found
