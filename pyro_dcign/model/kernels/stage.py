"""A stage of the residual network around its two convolutions, channels last.

Bias and ReLU before the first, bias, scale, shift and ReLU between them, and the shortcut's sum and
ReLU after the second, each in one pass, and in one pass back.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from pyro_dcign.model.kernels.grid import PROGRAMS, blocks, pixels, power


@triton.jit
def _place(m, S: tl.constexpr, C: tl.constexpr, H: tl.constexpr, P: tl.constexpr,
           UP: tl.constexpr):  # fmt: skip
    # Where a pixel's channels begin: in maps of S x S, or in the four phases of a folded
    # convolution with H x H cells, whose first row and column lie outside of the picture.
    if UP:
        i, j = (m // S) % S + 1, m % S + 1
        cell = (m // (S * S) * H + i // 2) * H + j // 2
        at = cell * P + ((i % 2) * 2 + j % 2) * C
    else:
        at = m * C
    return at


@triton.jit
def _activate(y, bias, style, out, total, S: tl.constexpr, C: tl.constexpr, H: tl.constexpr,
              P: tl.constexpr, UP: tl.constexpr, STYLE: tl.constexpr, BM: tl.constexpr,
              BC: tl.constexpr):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM).to(tl.int64)
    c = tl.arange(0, BC)
    there = (m < total)[:, None] & (c < C)[None, :]
    v = tl.load(y + _place(m, S, C, H, P, UP)[:, None] + c[None, :], there, 0.0).to(tl.float32)
    v += tl.load(bias + c, c < C, 0.0).to(tl.float32)[None, :]
    if STYLE:
        at = (m // (S * S))[:, None] * (2 * C) + c[None, :]
        v = v + v * tl.load(style + at, there, 0.0) + tl.load(style + at + C, there, 0.0)
    tl.store(out + m[:, None] * C + c[None, :], tl.maximum(v, 0.0).to(out.dtype.element_ty), there)


@triton.jit
def _join(y, b, w, d, out, total, S: tl.constexpr, C: tl.constexpr, H: tl.constexpr,
          P: tl.constexpr, UP: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM).to(tl.int64)
    c = tl.arange(0, BC)
    there = (m < total)[:, None] & (c < C)[None, :]
    v = tl.load(y + _place(m, S, C, H, P, UP)[:, None] + c[None, :], there, 0.0).to(tl.float32)
    at = m[:, None] * C + c[None, :]
    v += tl.load(w + at, there, 0.0).to(tl.float32)
    bias = tl.load(b + c, c < C, 0.0).to(tl.float32) + tl.load(d + c, c < C, 0.0).to(tl.float32)
    tl.store(out + at, tl.maximum(v + bias[None, :], 0.0).to(out.dtype.element_ty), there)


@triton.jit
def _gate(g, out, to, partial, total, programs, C: tl.constexpr, BM: tl.constexpr,
          BC: tl.constexpr):  # fmt: skip
    # The gradient of a ReLU, and its sum over pixels.
    c = tl.arange(0, BC)
    sum = tl.zeros([BC], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(total, BM), programs):
        m = block * BM + tl.arange(0, BM).to(tl.int64)
        there = (m < total)[:, None] & (c < C)[None, :]
        at = m[:, None] * C + c[None, :]
        v = tl.load(g + at, there, 0.0).to(tl.float32)
        v = tl.where(tl.load(out + at, there, 0.0) > 0, v, 0.0)
        sum += tl.sum(v, 0)
        tl.store(to + at, v.to(to.dtype.element_ty), there)
    tl.store(partial + c * programs + tl.program_id(0), sum, c < C)


@triton.jit
def _between(g, u, bias, style, to, partial, parts, S: tl.constexpr, C: tl.constexpr,
             BM: tl.constexpr, BC: tl.constexpr):  # fmt: skip
    # Back through bias, scale, shift and ReLU; sums for the scale and the shift of each image.
    n, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.arange(0, BC)
    b = tl.load(bias + c, c < C, 0.0).to(tl.float32)[None, :]
    s = tl.load(style + n * (2 * C) + c, c < C, 0.0)[None, :]
    t = tl.load(style + n * (2 * C) + C + c, c < C, 0.0)[None, :]
    scale, shift = tl.zeros([BC], tl.float32), tl.zeros([BC], tl.float32)
    for block in range(part, tl.cdiv(S * S, BM), parts):
        p = block * BM + tl.arange(0, BM)
        there = (p < S * S)[:, None] & (c < C)[None, :]
        at = (n * (S * S) + p)[:, None] * C + c[None, :]
        v = tl.load(u + at, there, 0.0).to(tl.float32) + b
        d = tl.load(g + at, there, 0.0).to(tl.float32)
        d = tl.where(v + v * s + t > 0, d, 0.0)
        scale += tl.sum(d * v, 0)
        shift += tl.sum(d, 0)
        tl.store(to + at, (d + d * s).to(to.dtype.element_ty), there)
    row = partial + (n * parts + part) * (2 * C) + c
    tl.store(row, scale, c < C)
    tl.store(row + C, shift, c < C)


@triton.jit
def _leave(g, out, more, to, partial, cells, programs, S: tl.constexpr, C: tl.constexpr,
           H: tl.constexpr, P: tl.constexpr, UP: tl.constexpr, BM: tl.constexpr,
           BC: tl.constexpr):  # fmt: skip
    # Back through the first ReLU, joined by the shortcut's gradient, into the phases.
    c = tl.arange(0, BC)
    sum = tl.zeros([BC], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(cells, BM), programs):
        m = block * BM + tl.arange(0, BM).to(tl.int64)
        inside = (m < cells)[:, None] & (c < C)[None, :]
        for phase in tl.static_range(4 if UP else 1):
            if UP:
                i, j = 2 * (m // H % H) + phase // 2 - 1, 2 * (m % H) + phase % 2 - 1
                seen = (i >= 0) & (i < S) & (j >= 0) & (j < S)
                there = inside & seen[:, None]
                at = ((m // (H * H) * S + i) * S + j)[:, None] * C + c[None, :]
                place = m[:, None] * P + phase * C + c[None, :]
            else:
                there = inside
                at = m[:, None] * C + c[None, :]
                place = at
            v = tl.load(g + at, there, 0.0).to(tl.float32)
            v = tl.where(tl.load(out + at, there, 0.0) > 0, v, 0.0)
            v += tl.load(more + at, there, 0.0).to(tl.float32)
            sum += tl.sum(v, 0)
            tl.store(to + place, v.to(to.dtype.element_ty), inside)
        for extra in tl.static_range(4 * C if UP else P, P):
            tl.store(to + m * P + extra, tl.zeros([BM], to.dtype.element_ty), m < cells)
    tl.store(partial + c * programs + tl.program_id(0), sum, c < C)


def _maps(n: int, size: int, channels: int, like: Tensor) -> Tensor:
    shape = (n, size, size, channels)
    return torch.empty(shape, dtype=like.dtype, device=like.device).permute(0, 3, 1, 2)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _slopes(g: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a 3×3 convolution's input and kernel."""
    dx, dw, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
    )
    return _last(dx), dw


def _gated(g: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient before a ReLU, and its sum over pixels."""
    n, channels, size, _ = out.shape
    g, to, block = _last(g), torch.empty_like(out), pixels(channels)
    total = n * size * size
    programs = min(PROGRAMS, blocks(total, block))
    partial = torch.empty(channels, programs, device=g.device)
    _gate[(programs,)](g, out, to, partial, total, programs, channels, block, power(channels))
    return to, partial.sum(1)


class _Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor) -> Tensor:
        y = _last(y)
        n, channels, size, _ = y.shape
        out, block, total = torch.empty_like(y), pixels(channels), n * size * size
        sizes = (size, channels, size, channels, False, False, block, power(channels))
        _activate[(blocks(total, block),)](y, bias, bias, out, total, *sizes)
        ctx.save_for_backward(out)
        ctx.kind = bias.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        (out,) = ctx.saved_tensors
        dy, sums = _gated(gradients[0], out)
        return dy, sums.to(ctx.kind)


class _Stage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, b: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor,
        style: Tensor | None, size: int | None,
    ) -> Tensor:  # fmt: skip
        y = _last(y)
        n, wide, cells, _ = y.shape
        channels, side, up = len(w1), size or cells, size is not None
        block, total = pixels(channels), n * side * side
        grid, tail = (blocks(total, block),), (block, power(channels))
        kernels = [w.to(y.dtype, memory_format=torch.channels_last) for w in (w1, w2)]
        r, v, out = (_maps(n, side, channels, y) for _ in range(3))
        _activate[grid](y, b, b, r, total, side, channels, cells, wide, up, False, *tail)
        u = _last(F.conv2d(r, kernels[0], padding=1))
        given = b1 if style is None else style
        styled = style is not None
        _activate[grid](
            u, b1, given, v, total, side, channels, side, channels, False, styled, *tail
        )
        w = _last(F.conv2d(v, kernels[1], padding=1))
        _join[grid](y, b, w, b2, out, total, side, channels, cells, wide, up, *tail)
        ctx.save_for_backward(r, u if styled else None, v, out, b1, style, *kernels)
        ctx.like, ctx.up, ctx.kinds = y.shape, up, (b.dtype, w1.dtype)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        r, u, v, out, b1, style, first, second = ctx.saved_tensors
        n, channels, side, _ = out.shape
        g, db2 = _gated(gradients[0], out)
        gv, dw2 = _slopes(g, v, second)
        if style is None:
            du, db1 = _gated(gv, v)
            dstyle = None
        else:
            du, dstyle, db1 = _unstyled(gv, u, b1, style)
        gr, dw1 = _slopes(du, r, first)
        _, wide, cells, _ = ctx.like
        dy, block = _maps(n, cells, wide, r), pixels(channels)
        total = n * cells * cells
        programs = min(PROGRAMS, blocks(total, block))
        partial = torch.empty(channels, programs, device=r.device)
        _leave[(programs,)](
            gr, r, g, dy, partial, total, programs, side, channels, cells, wide, ctx.up, block,
            power(channels),
        )  # fmt: skip
        bias, weight = ctx.kinds
        db, db1, db2 = (d.to(bias) for d in (partial.sum(1), db1, db2))
        return dy, db, dw1.to(weight), db1, dw2.to(weight), db2, dstyle, None


def _unstyled(g: Tensor, u: Tensor, bias: Tensor, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of maps, of their scale and shift, and of their bias."""
    n, channels, side, _ = u.shape
    block = pixels(channels)
    parts = max(1, min(8, blocks(side * side, 2 * block)))
    to = torch.empty_like(u)
    partial = torch.empty(n, parts, 2 * channels, device=u.device)
    _between[(n, parts)](
        g, u, bias, style, to, partial, parts, side, channels, block, power(channels)
    )
    found = partial.sum(1)
    scaled = (1 + style[:, :channels]) * found[:, channels:]
    return to, found, scaled.sum(0)


def relu(y: Float[Tensor, "n c s s"], bias: Float[Tensor, " c"]) -> Float[Tensor, "n c s s"]:
    """ReLU of square maps plus bias."""
    found: Tensor = _Relu.apply(y, bias)
    return found


def stage(
    y: Float[Tensor, "n phases_c h h"],
    bias: Float[Tensor, " c"],
    first: torch.nn.Conv2d,
    second: torch.nn.Conv2d,
    *,
    style: Float[Tensor, "n two_c"] | None = None,
    size: int | None = None,
) -> Float[Tensor, "n c s s"]:
    """ReLU of x + second(relu(modulated(first(relu(x))))), where x is y plus bias.

    Args:
        y: A convolution's output without bias; with ``size`` the four phases of a padded one with
            the kernel of :func:`~pyro_dcign.model.kernels.fold.fold`.
        bias: Its bias.
        first: 3×3 convolution.
        second: 3×3 convolution.
        style: Scale (less 1) and shift of the first's maps, in single precision.
        size: Rows and columns of the unpooled maps.
    """
    found: Tensor = _Stage.apply(
        y, bias, first.weight, first.bias, second.weight, second.bias, style, size
    )
    return found
