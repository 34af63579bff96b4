"""The clamp of a site's location and scale in one kernel forward and one backward."""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float
from torch import Tensor

from pyro_dcign.model.kernels.grid import blocks, power

BLOCK = 64


@triton.jit
def _one(z, out, held_active, n, i, there, size, zn, zi, IMAGES: tl.constexpr,
         FIRST: tl.constexpr):  # fmt: skip
    v = tl.load(z + n[:, None] * zn + i[None, :] * zi, there, 0.0)
    held = tl.sum(v, 0) / IMAGES
    if FIRST:
        row = tl.arange(0, v.shape[0]) == 0
        held = tl.sum(tl.where(row[:, None], v, 0.0), 0)
    v = tl.where(held_active, v, held[None, :])
    tl.store(out + n[:, None] * size + i[None, :], v, there)


@triton.jit
def _forward(loc, scale, active, out_loc, out_scale, size, an, ai, ln, li, sn, si,
             IMAGES: tl.constexpr, BN: tl.constexpr, BLOCK: tl.constexpr,
             FIRST: tl.constexpr):  # fmt: skip
    group = tl.program_id(0)
    row = tl.arange(0, BN)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = (row < IMAGES)[:, None] & (i < size)[None, :]
    on = tl.load(active + group * an + i * ai, i < size, 0).to(tl.int32)[None, :] != 0
    n = group * IMAGES + row
    _one(loc, out_loc, on, n, i, there, size, ln, li, IMAGES, FIRST)
    _one(scale, out_scale, on, n, i, there, size, sn, si, IMAGES, FIRST)


@triton.jit
def _one_gradient(g, z, out, on, n, i, there, size, strength, gn, gi, zn, zi,
                  IMAGES: tl.constexpr):  # fmt: skip
    v = tl.load(z + n[:, None] * zn + i[None, :] * zi, there, 0.0)
    pull = strength * (v - (tl.sum(v, 0) / IMAGES)[None, :])
    own = tl.load(g + n[:, None] * gn + i[None, :] * gi, there, 0.0)
    tl.store(out + n[:, None] * size + i[None, :], tl.where(on, own, pull), there)


@triton.jit
def _backward(g_loc, g_scale, loc, scale, active, out_loc, out_scale, size, strength, an, ai,
              gln, gli, gsn, gsi, ln, li, sn, si, IMAGES: tl.constexpr, BN: tl.constexpr,
              BLOCK: tl.constexpr):  # fmt: skip
    group = tl.program_id(0)
    row = tl.arange(0, BN)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = (row < IMAGES)[:, None] & (i < size)[None, :]
    on = tl.load(active + group * an + i * ai, i < size, 0).to(tl.int32)[None, :] != 0
    n = group * IMAGES + row
    _one_gradient(g_loc, loc, out_loc, on, n, i, there, size, strength, gln, gli, ln, li, IMAGES)
    _one_gradient(
        g_scale, scale, out_scale, on, n, i, there, size, strength, gsn, gsi, sn, si, IMAGES
    )


class _ClampBoth(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, loc: Tensor, scale: Tensor, active: Tensor, strength: float, first: bool
    ) -> tuple[Tensor, Tensor]:
        n, size = loc.shape
        groups = len(active)
        images = n // groups
        out_loc, out_scale = loc.new_empty(n, size), loc.new_empty(n, size)
        _forward[(groups, blocks(size, BLOCK))](
            loc, scale, active, out_loc, out_scale, size, *active.stride(), *loc.stride(),
            *scale.stride(), images, power(images), BLOCK, first,
        )  # fmt: skip
        ctx.save_for_backward(loc, scale, active)
        ctx.strength = strength
        return out_loc, out_scale

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        loc, scale, active = ctx.saved_tensors
        n, size = loc.shape
        groups = len(active)
        images = n // groups
        g_loc, g_scale = gradients
        out_loc, out_scale = loc.new_empty(n, size), loc.new_empty(n, size)
        _backward[(groups, blocks(size, BLOCK))](
            g_loc, g_scale, loc, scale, active, out_loc, out_scale, size, ctx.strength,
            *active.stride(), *g_loc.stride(), *g_scale.stride(), *loc.stride(),
            *scale.stride(), images, power(images), BLOCK,
        )  # fmt: skip
        return out_loc, out_scale, None, None, None


def clamp_both(
    loc: Float[Tensor, "n latents"],
    scale: Float[Tensor, "n latents"],
    active: Bool[Tensor, "groups latents"],
    *,
    strength: float,
    first: bool,
) -> tuple[Float[Tensor, "n latents"], Float[Tensor, "n latents"]]:
    """:func:`pyro_dcign.model.clamp.clamp` of both, for groups of n / groups images in a row."""
    held: tuple[Tensor, Tensor] = _ClampBoth.apply(loc, scale, active, strength, first)
    return held
