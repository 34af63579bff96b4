"""From a z-buffer and a shadow map to grey pictures in one kernel: nothing in between is stored."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from pyro_dcign.scenes.kernels.albedo import KERNELS, between, mix

BLOCK = 128


@triton.jit
def _weights(a, b, c, px, py, across, there):
    """scenes.rasterizer.resolve: weights of a triangle's corners, in space."""
    ax, ay = tl.load(a, there, 0.0), tl.load(a + across, there, 0.0)
    bx, by = tl.load(b, there, 1.0), tl.load(b + across, there, 0.0)
    cx, cy = tl.load(c, there, 0.0), tl.load(c + across, there, 1.0)
    scale = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
    wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) * scale
    wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) * scale
    wa = (1 - wb - wc) * tl.load(a + 2 * across, there, 1.0)
    wb *= tl.load(b + 2 * across, there, 1.0)
    wc *= tl.load(c + 2 * across, there, 1.0)
    scale = 1 / tl.where(there, wa + wb + wc, 1.0)
    return wa * scale, wb * scale, wc * scale


@triton.jit
def _open(depth, at, w, there):
    return tl.where(tl.load(depth + at, there, 0.0) <= w, 1.0, 0.0)


@triton.jit
def _lit(depth, lamps, image, x, y, z, images, texels, bias, there):
    """scenes.shadow.ShadowMap.lit."""
    m = lamps + image
    u = tl.load(m, there, 0.0) * x + tl.load(m + images, there, 0.0) * y
    u += tl.load(m + 2 * images, there, 0.0) * z - tl.load(m + 9 * images, there, 0.0)
    v = tl.load(m + 3 * images, there, 0.0) * x + tl.load(m + 4 * images, there, 0.0) * y
    v += tl.load(m + 5 * images, there, 0.0) * z - tl.load(m + 10 * images, there, 0.0)
    w = tl.load(m + 6 * images, there, 0.0) * x + tl.load(m + 7 * images, there, 0.0) * y
    w += tl.load(m + 8 * images, there, 0.0) * z - tl.load(m + 11 * images, there, 0.0)
    scale = tl.load(m + 12 * images, there, 0.0)
    most = texels - 1.001
    u = tl.minimum(tl.maximum(u * scale + 0.5, 0.0), most)
    v = tl.minimum(tl.maximum(v * scale + 0.5, 0.0), most)
    w += 1 + bias
    left, top = tl.floor(u), tl.floor(v)
    at = (image.to(tl.int64) * texels + top.to(tl.int32)) * texels + left.to(tl.int32)
    upper = mix(_open(depth, at, w, there), _open(depth, at + 1, w, there), u - left)
    at += texels
    lower = mix(_open(depth, at, w, there), _open(depth, at + 1, w, there), u - left)
    return mix(upper, lower, v - top)


@triton.jit
def _shade(packed, screen, triangles, normals, places, mesh, lamp, depth, lamps, ambient, fill,
           behind, p, q, out, pixels, vertices, meshes, images, side, texels, ground, lift, bias,
           SAMPLES: tl.constexpr, SHADOWS: tl.constexpr, FILL: tl.constexpr, PICTURE: tl.constexpr,
           ALBEDO: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    image = (pixel // (side * side)).to(tl.int32)
    row, column = ((pixel // side) % side).to(tl.int32), (pixel % side).to(tl.int32)
    which = tl.load(mesh + image, inside, 0).to(tl.int32)
    spread = tl.load(ambient + image, inside, 0.0)
    if PICTURE:
        ground = tl.load(behind + pixel, inside, 0.0)
    total = tl.zeros([BLOCK], tl.float32)
    for sample in range(SAMPLES * SAMPLES):
        i, j = column * SAMPLES + sample % SAMPLES, row * SAMPLES + sample // SAMPLES
        wide = side * SAMPLES
        found = tl.load(packed + (image.to(tl.int64) * wide + j) * wide + i, inside, 0)
        there = inside & ((found >> 32) > 0)
        t = triangles + 3 * (found & 0xFFFFFFFF)
        a = tl.load(t, there, 0).to(tl.int32)
        b = tl.load(t + 1, there, 0).to(tl.int32)
        c = tl.load(t + 2, there, 0).to(tl.int32)
        seen = screen + image
        wa, wb, wc = _weights(seen + a * images, seen + b * images, seen + c * images,
                              i + 0.5, j + 0.5, vertices * images, there)  # fmt: skip

        at, bt, ct = a * meshes, b * meshes, c * meshes
        n = normals + which
        mine = vertices * meshes
        nx = between(n, at, bt, ct, wa, wb, wc, there)
        ny = between(n + mine, at, bt, ct, wa, wb, wc, there)
        nz = between(n + 2 * mine, at, bt, ct, wa, wb, wc, there)
        unit = tl.rsqrt(tl.maximum(nx * nx + ny * ny + nz * nz, 1e-24))
        nx, ny, nz = nx * unit, ny * unit, nz * unit
        to = lamp + 3 * image
        slope = nx * tl.load(to, inside, 0.0) + ny * tl.load(to + 1, inside, 0.0)
        slope = tl.maximum(slope + nz * tl.load(to + 2, inside, 0.0), 0.0)
        if SHADOWS:
            n = places + which
            x = between(n, at, bt, ct, wa, wb, wc, there) + lift * nx
            y = between(n + mine, at, bt, ct, wa, wb, wc, there) + lift * ny
            z = between(n + 2 * mine, at, bt, ct, wa, wb, wc, there) + lift * nz
            slope *= _lit(depth, lamps, image, x, y, z, images, texels, bias, there)
        light = spread + (1 - spread) * slope
        if FILL:
            to = fill + 3 * image
            slope = nx * tl.load(to, inside, 0.0) + ny * tl.load(to + 1, inside, 0.0)
            light += tl.maximum(slope + nz * tl.load(to + 2, inside, 0.0), 0.0)
        light *= ALBEDO(p, q, a, b, c, which, wa, wb, wc, vertices, meshes, there)
        total += tl.where(there, light, ground)
    mean = tl.minimum(tl.maximum(total / (SAMPLES * SAMPLES), 1e-12), 1.0)
    value = tl.exp2(tl.log2(mean) / 2.2) * 255 + 0.5
    tl.store(out + pixel, value.to(tl.uint8), inside)


def shade(
    packed: Int64[Tensor, "images samples samples"],
    screen: Float32[Tensor, "3 vertices images"],
    triangles: Int64[Tensor, "triangles 3"],
    normals: Float32[Tensor, "3 vertices meshes"],
    places: Float32[Tensor, "3 vertices meshes"],
    mesh: Int64[Tensor, " images"],
    lamp: Float32[Tensor, "images 3"],
    shadow: tuple[Float32[Tensor, " texels"], Float32[Tensor, "13 images"], int] | None,
    albedo: str,
    tables: tuple[Tensor, Tensor],
    *,
    samples: int,
    ambient: float | Float32[Tensor, " images"],
    fill: Float32[Tensor, "images 3"] | None,
    ground: float | Float32[Tensor, "images side side"],
    lift: float,
    bias: float,
) -> UInt8[Tensor, "images side side"]:
    """:func:`pyro_dcign.scenes.render.draw` after its z-buffer, to a grey level.

    Args:
        packed: Nearest triangle at every sample.
        screen: What it was made from.
        triangles: Corners.
        normals: Of each vertex, outwards.
        places: Of each vertex, in the mesh's axes.
        mesh: Of each picture.
        lamp: Unit vector towards it.
        shadow: Depths of the shadow map, its axes, origin and scale for each picture, and its
            texels a side; None for no shadows.
        albedo: One of ``albedo.KERNELS``.
        tables: What that reads.
        samples: A pixel, along each side.
        ambient: Share of light that comes from everywhere.
        fill: Vector towards a second lamp without shadows, as long as that is strong.
        ground: Radiance where there is no surface.
        lift: How far above its surface a point asks for light.
        bias: How much nearer to the lamp a surface must be to throw a shadow.
    """
    images, wide, _ = packed.shape
    side = wide // samples
    out = torch.empty(images, side, side, dtype=torch.uint8, device=packed.device)
    depth, lamps, texels = shadow or (screen, screen, 0)
    if not isinstance(ambient, Tensor):
        ambient = lamp.new_full((images,), ambient)
    behind, picture = (ground, True) if isinstance(ground, Tensor) else (lamp, False)
    lights = (lamp, depth, lamps, ambient, lamp if fill is None else fill, behind)
    held = [x.contiguous() for x in (normals, places, mesh, *lights, *tables)]
    _shade[(triton.cdiv(out.numel(), BLOCK),)](
        packed, screen.contiguous(), triangles.contiguous(), *held, out, out.numel(),
        normals.shape[1], normals.shape[2], images, side, texels, 0.0 if picture else ground, lift,
        bias, samples, shadow is not None, fill is not None, picture, KERNELS[albedo], BLOCK,
    )  # fmt: skip
    return out
