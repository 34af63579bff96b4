"""A draw of every latent and its log q - log p under a standard normal prior, in one kernel."""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.model.kernels.grid import power


@triton.jit
def _forward(loc, scale, noise, z, divergence, size, ln, li, sn, si, BLOCK: tl.constexpr):
    n, i = tl.program_id(0), tl.arange(0, BLOCK)
    there = i < size
    s = tl.load(scale + n * sn + i * si, there, 1.0)
    e = tl.load(noise + n * size + i, there, 0.0)
    v = tl.load(loc + n * ln + i * li, there, 0.0) + e * s
    tl.store(z + n * size + i, v, there)
    terms = 0.5 * (v * v - e * e) - tl.log(s)
    tl.store(divergence + n, tl.sum(tl.where(there, terms, 0.0), 0))


@triton.jit
def _backward(g_z, g, z, scale, noise, d_loc, d_scale, size, zn, zi, gn, sn, si,
              BLOCK: tl.constexpr):  # fmt: skip
    n, i = tl.program_id(0), tl.arange(0, BLOCK)
    there = i < size
    u = tl.load(g + n * gn)
    slope = tl.load(g_z + n * zn + i * zi, there, 0.0) + u * tl.load(z + n * size + i, there, 0.0)
    s = tl.load(scale + n * sn + i * si, there, 1.0)
    e = tl.load(noise + n * size + i, there, 0.0)
    tl.store(d_loc + n * size + i, slope, there)
    tl.store(d_scale + n * size + i, slope * e - u / s, there)


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loc: Tensor, scale: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        n, size = loc.shape
        z, divergence = loc.new_empty(n, size), loc.new_empty(n)
        _forward[(n,)](
            loc, scale, noise, z, divergence, size, *loc.stride(), *scale.stride(), power(size)
        )
        ctx.save_for_backward(z, scale, noise)
        return z, divergence

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        z, scale, noise = ctx.saved_tensors
        n, size = z.shape
        g_z, g = gradients
        d_loc, d_scale = z.new_empty(n, size), z.new_empty(n, size)
        strides = (*g_z.stride(), g.stride(0), *scale.stride())
        _backward[(n,)](g_z, g, z, scale, noise, d_loc, d_scale, size, *strides, power(size))
        return d_loc, d_scale, None


def draw(
    loc: Float[Tensor, "n latents"],
    scale: Float[Tensor, "n latents"],
    noise: Float[Tensor, "n latents"],
) -> tuple[Float[Tensor, "n latents"], Float[Tensor, " n"]]:
    """z = loc + noise · scale, and log N(z; loc, diag scale²) - log N(z; 0, 1) of each image."""
    found: tuple[Tensor, Tensor] = _Draw.apply(loc, scale, noise.contiguous())
    return found
