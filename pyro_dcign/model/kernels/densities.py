"""Log densities summed over an image's event, with their gradients: a Normal and a Bernoulli."""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.model.kernels.grid import blocks, power

BLOCK = 2048
HALF_LOG_TWO_PI = tl.constexpr(0.9189385332046727)


@triton.jit
def _normal(value, loc, scale, out, size, vn, vi, ln, li, sn, si, BLOCK: tl.constexpr):
    n, i = tl.program_id(0), tl.arange(0, BLOCK)
    there = i < size
    s = tl.load(scale + n * sn + i * si, there, 1.0)
    d = tl.load(value + n * vn + i * vi, there, 0.0) - tl.load(loc + n * ln + i * li, there, 0.0)
    terms = -0.5 * (d / s) * (d / s) - tl.log(s) - HALF_LOG_TWO_PI
    tl.store(out + n, tl.sum(tl.where(there, terms, 0.0), 0))


@triton.jit
def _normal_gradients(g, value, loc, scale, dv, dl, ds, size, gn, vn, vi, ln, li, sn, si,
                      PARAMETERS: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    n, i = tl.program_id(0), tl.arange(0, BLOCK)
    there = i < size
    s = tl.load(scale + n * sn + i * si, there, 1.0)
    d = tl.load(value + n * vn + i * vi, there, 0.0) - tl.load(loc + n * ln + i * li, there, 0.0)
    u = tl.load(g + n * gn)
    slope = u * d / (s * s)
    tl.store(dv + n * size + i, -slope, there)
    if PARAMETERS:
        tl.store(dl + n * size + i, slope, there)
        tl.store(ds + n * size + i, slope * d / s - u / s, there)


class _NormalLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
        n, size = value.shape
        ctx.save_for_backward(value, loc, scale)
        out = value.new_empty(n)
        strides = (*value.stride(), *loc.stride(), *scale.stride())
        _normal[(n,)](value, loc, scale, out, size, *strides, power(size))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        value, loc, scale = ctx.saved_tensors
        n, size = value.shape
        parameters = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        dv = value.new_empty(n, size)
        dl, ds = (value.new_empty(n, size) if parameters else dv for _ in range(2))
        strides = (*value.stride(), *loc.stride(), *scale.stride())
        g = gradients[0]
        _normal_gradients[(n,)](
            g, value, loc, scale, dv, dl, ds, size, g.stride(0), *strides, parameters, power(size)
        )
        return dv, dl if parameters else None, ds if parameters else None


def normal_log_prob(
    value: Float[Tensor, "n latents"],
    loc: Float[Tensor, "n latents"],
    scale: Float[Tensor, "n latents"],
) -> Float[Tensor, " n"]:
    """log N(value; loc, diag scale²); any strides, also of expanded scalars."""
    found: Tensor = _NormalLogProb.apply(value, loc, scale)
    return found


@triton.jit
def _bernoulli(logits, x, partial, size, splits, BLOCK: tl.constexpr):
    n, b = tl.program_id(0).to(tl.int64), tl.program_id(1)
    i = b * BLOCK + tl.arange(0, BLOCK)
    there = i < size
    y = tl.load(logits + n * size + i, there, 0.0)
    t = tl.load(x + n * size + i, there, 0.0)
    terms = y * t - tl.maximum(y, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(y)))
    tl.store(partial + n * splits + b, tl.sum(tl.where(there, terms, 0.0), 0))


@triton.jit
def _bernoulli_gradient(g, logits, x, out, size, gn, BLOCK: tl.constexpr):
    n, i = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = i < size
    y = tl.load(logits + n * size + i, there, 0.0)
    t = tl.load(x + n * size + i, there, 0.0)
    tl.store(out + n * size + i, tl.load(g + n * gn) * (t - 1.0 / (1.0 + tl.exp(-y))), there)


class _BernoulliLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        logits, x = logits.contiguous(), x.contiguous()
        n, size = len(x), x[0].numel()
        splits = blocks(size, BLOCK)
        partial = logits.new_empty(n, splits)
        _bernoulli[(n, splits)](logits, x, partial, size, splits, BLOCK)
        ctx.save_for_backward(logits, x)
        return partial.sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        logits, x = ctx.saved_tensors
        n, size = len(x), x[0].numel()
        g, out = gradients[0], torch.empty_like(logits)
        grid = (n, blocks(size, BLOCK))
        _bernoulli_gradient[grid](g, logits, x, out, size, g.stride(0), BLOCK)
        return out, None


def bernoulli_log_prob(
    logits: Float[Tensor, "n *pixels"], x: Float[Tensor, "n *pixels"]
) -> Float[Tensor, " n"]:
    """Minus the binary cross-entropy of intensities, summed over an image's pixels."""
    found: Tensor = _BernoulliLogProb.apply(logits, x)
    return found
