"""The first block on grey images: convolution, bias, 2×2 max-pooling and ReLU in one kernel.

A library's convolution is slow with one input channel, and its output is the largest tensor of the
encoder. Here a program gathers, for each of the four pixels of a pooling window, the k² inputs of
that pixel and multiplies them with all maps, so the unpooled maps never reach memory.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.images import Images
from pyro_dcign.model.kernels.grid import PROGRAMS, blocks, power

MOST_TAPS = 63
"""Taps of a kernel, and one column for the bias's gradient, within a block of 64."""


@triton.jit
def _forward(images, weight, bias, out, winner, total, S: tl.constexpr, C: tl.constexpr,
             K: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr,
             PRECISION: tl.constexpr):  # fmt: skip
    kind = out.dtype.element_ty
    h: tl.constexpr = (S - K + 1) // 2
    m = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    k = tl.arange(0, BK)
    n, i, j = m // (h * h), (m // h) % h, m % h
    taps = images + ((n * S + 2 * i) * S + 2 * j)[:, None] + ((k // K) * S + k % K)[None, :]
    there = (m < total)[:, None] & (k < K * K)[None, :]
    a0 = tl.load(taps, there, 0.0).to(kind)
    a1 = tl.load(taps + 1, there, 0.0).to(kind)
    a2 = tl.load(taps + S, there, 0.0).to(kind)
    a3 = tl.load(taps + S + 1, there, 0.0).to(kind)
    for start in tl.static_range(0, C, BC):
        c = start + tl.arange(0, BC)
        b = tl.load(weight + c[None, :] * K * K + k[:, None],
                    (c < C)[None, :] & (k < K * K)[:, None], 0.0).to(kind)  # fmt: skip
        best = tl.dot(a0, b, input_precision=PRECISION)
        v = tl.dot(a1, b, input_precision=PRECISION)
        which = tl.where(v > best, 1, 0)
        best = tl.maximum(v, best)
        v = tl.dot(a2, b, input_precision=PRECISION)
        which = tl.where(v > best, 2, which)
        best = tl.maximum(v, best)
        v = tl.dot(a3, b, input_precision=PRECISION)
        which = tl.where(v > best, 3, which)
        best = tl.maximum(v, best)
        best += tl.load(bias + c, c < C, 0.0).to(tl.float32)[None, :]
        at = m[:, None] * C + c[None, :]
        mask = (m < total)[:, None] & (c < C)[None, :]
        tl.store(winner + at, tl.where(best > 0, which, 4).to(tl.uint8), mask)
        tl.store(out + at, tl.maximum(best, 0.0).to(kind), mask)


@triton.jit
def _backward(images, g, winner, partial, total, programs, S: tl.constexpr, C: tl.constexpr,
              K: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr,
              PRECISION: tl.constexpr):  # fmt: skip
    kind = g.dtype.element_ty
    h: tl.constexpr = (S - K + 1) // 2
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    k = tl.arange(0, BK)
    sum = tl.zeros([BK, BC], tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(total, BM), programs):
        m = block * BM + tl.arange(0, BM).to(tl.int64)
        n, i, j = m // (h * h), (m // h) % h, m % h
        at = m[:, None] * C + c[None, :]
        mask = (m < total)[:, None] & (c < C)[None, :]
        v = tl.load(g + at, mask, 0.0)
        which = tl.load(winner + at, mask, 4)
        taps = images + ((n * S + 2 * i) * S + 2 * j)[None, :] + ((k // K) * S + k % K)[:, None]
        there = (m < total)[None, :] & (k < K * K)[:, None]
        for tap in tl.static_range(4):
            a = tl.load(taps + (tap // 2) * S + tap % 2, there, 0.0)
            # A column of ones after the taps collects the bias's gradient.
            a = tl.where((k == K * K)[:, None], 1.0, a).to(kind)
            routed = tl.where(which == tap, v, 0.0).to(kind)
            sum = tl.dot(a, routed, sum, input_precision=PRECISION)
    to = partial + (tl.program_id(0) * BK + k)[:, None] * C + c[None, :]
    tl.store(to, sum, (c < C)[None, :] & (k < BK)[:, None])


class _First(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype
    ) -> Tensor:
        n, _, side, _ = images.shape
        channels, _, kernel, _ = weight.shape
        images = images.contiguous()
        size = (side - kernel + 1) // 2
        shape = (n, size, size, channels)
        out = torch.empty(shape, dtype=dtype, device=images.device)
        winner = torch.empty(shape, dtype=torch.uint8, device=images.device)
        total = n * size * size
        taps = max(16, power(kernel * kernel + 1))
        full = dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32
        ctx.precision = "tf32" if full else "ieee"
        flat = weight.reshape(channels, -1).contiguous()
        _forward[(blocks(total, 128),)](
            images, flat, bias, out, winner, total, side, channels, kernel, 128, 32, taps,
            ctx.precision, num_warps=8,
        )  # fmt: skip
        ctx.save_for_backward(images, winner, weight, bias)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        images, winner, weight, bias = ctx.saved_tensors
        channels, _, kernel, _ = weight.shape
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        n, _, size, _ = g.shape
        total, taps = n * size * size, max(16, power(kernel * kernel + 1))
        programs = min(PROGRAMS // 2, blocks(total, 64))
        wide = min(128, max(16, power(channels)))
        partial = torch.empty(programs, taps, channels, device=g.device)
        _backward[(programs, blocks(channels, wide))](
            images, g, winner, partial, total, programs, images.shape[-1], channels, kernel, 64,
            wide, taps, ctx.precision, num_warps=8, num_stages=2,
        )  # fmt: skip
        sums = partial.sum(0)
        found = torch.empty_like(weight)
        found.view(channels, -1).copy_(sums[: kernel * kernel].T)
        return None, found, sums[kernel * kernel].to(bias.dtype), None


def takes(images: Images, weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether the block fits the kernels.

    That is one input channel, a kernel of up to 7×7, images without a gradient, and a precision
    that tensor cores multiply.
    """
    small = weight.shape[1] == 1 and weight.shape[2] * weight.shape[3] <= MOST_TAPS
    fast = dtype != torch.float32 or torch.backends.cuda.matmul.allow_tf32
    return small and fast and not images.requires_grad


def first(
    images: Images, weight: Float[Tensor, "c 1 k k"], bias: Float[Tensor, " c"], dtype: torch.dtype
) -> Float[Tensor, "n c h w"]:
    """ReLU of the 2×2 maxima of the valid convolution of grey images, plus bias, channels last.

    The images get no gradient.
    """
    found: Tensor = _First.apply(images, weight, bias, dtype)
    return found
