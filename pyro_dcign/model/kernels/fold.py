"""The folding of an unpooling convolution's kernel: one kernel forward, one backward."""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.model.kernels.grid import blocks

BLOCK = 1024


@triton.jit
def _fold(w, out, so, si, sr, sc, total, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
          A: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i, b, a, f = e % N, (e // N) % A, (e // (N * A)) % A, e // (N * A * A)
    o, p, q = f % M, f // (2 * M), (f // M) % 2
    inside = (e < total) & (f < 4 * M)
    sum = tl.zeros([BLOCK], tl.float32)
    for r in tl.static_range(2):
        for c in tl.static_range(2):
            s, t = 2 * a - p + r, 2 * b - q + c
            there = inside & (s >= 0) & (s < K) & (t >= 0) & (t < K)
            sum += tl.load(w + o * so + i * si + s * sr + t * sc, there, 0.0).to(tl.float32)
    tl.store(out + e, sum.to(out.dtype.element_ty), e < total)


@triton.jit
def _unfold(g, out, so, si, sr, sc, total, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
            A: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i, t, s, o = e % N, (e // N) % K, (e // (N * K)) % K, e // (N * K * K)
    inside = e < total
    sum = tl.zeros([BLOCK], tl.float32)
    for p in tl.static_range(2):
        for q in tl.static_range(2):
            f = (p * 2 + q) * M + o
            at = ((f * A + (p + s) // 2) * A + (q + t) // 2) * N + i
            sum += tl.load(g + at, inside, 0.0).to(tl.float32)
    tl.store(out + o * so + i * si + s * sr + t * sc, sum.to(out.dtype.element_ty), inside)


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype) -> Tensor:
        outputs, inputs, kernel, _ = weight.shape
        taps = kernel // 2 + 1
        padded = blocks(4 * outputs, 8) * 8
        out = torch.empty(padded, taps, taps, inputs, dtype=dtype, device=weight.device)
        grid = (blocks(out.numel(), BLOCK),)
        _fold[grid](
            weight, out, *weight.stride(), out.numel(), outputs, inputs, kernel, taps, BLOCK
        )
        ctx.save_for_backward(weight)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (weight,) = ctx.saved_tensors
        outputs, inputs, kernel, _ = weight.shape
        g = gradients[0].contiguous(memory_format=torch.channels_last)
        found = torch.empty_like(weight)
        grid = (blocks(weight.numel(), BLOCK),)
        _unfold[grid](
            g,
            found,
            *found.stride(),
            found.numel(),
            outputs,
            inputs,
            kernel,
            kernel // 2 + 1,
            BLOCK,
        )
        return found, None


def fold(
    weight: Float[Tensor, "o i k k"], dtype: torch.dtype
) -> Float[Tensor, "phases_outputs i taps taps"]:
    """The folded kernel, channels last, its outputs in the order (row phase, column phase, out).

    Padded with zero outputs to a multiple of eight, which tensor cores want. Taps are summed in
    single precision and rounded once.
    """
    found: Tensor = _Fold.apply(weight, dtype)
    return found
