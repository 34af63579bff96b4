"""Albedos of the scenes as functions of a kernel: the formulae of scenes.albedo and its siblings.

Each takes two tables, the three corners (vertex numbers), the mesh, the corners' weights, the
numbers of vertices and of meshes, and where there is a surface at all. Numbers and names are those
of the formulae in PyTorch, which the tests compare them with.
"""

import triton
import triton.language as tl


@triton.jit
def step(x, low, high):
    """Smoothstep from 0 at ``low`` to 1 at ``high``."""
    t = tl.minimum(tl.maximum((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@triton.jit
def mix(a, b, share):
    """From a (share 0) to b (share 1)."""
    return a + (b - a) * share


@triton.jit
def between(table, a, b, c, wa, wb, wc, there):
    """A row of a table, interpolated between three of its columns."""
    found = tl.load(table + a, there, 0.0) * wa
    found += tl.load(table + b, there, 0.0) * wb
    return found + tl.load(table + c, there, 0.0) * wc


@triton.jit
def plain(p, q, a, b, c, mesh, wa, wb, wc, vertices, meshes, there):
    """scenes.morphable: p gives each vertex of each mesh its albedo."""
    return between(p + mesh, a * meshes, b * meshes, c * meshes, wa, wb, wc, there)


@triton.jit
def finish(p, q, a, b, c, mesh, wa, wb, wc, vertices, meshes, there):
    """scenes.chairs: p is the finish of each vertex of each chair, q the places on a part."""
    first = p + a * meshes + mesh
    row = vertices * meshes
    tone, grain = tl.load(first, there, 0.0), tl.load(first + row, there, 0.0)
    band, stripe = tl.load(first + 2 * row, there, 0.0), tl.load(first + 3 * row, there, 0.0)
    phase = tl.load(first + 4 * row, there, 0.0)
    along = between(q, a, b, c, wa, wb, wc, there)
    x = between(q + vertices, a, b, c, wa, wb, wc, there)
    y = between(q + 2 * vertices, a, b, c, wa, wb, wc, there)
    ring = tl.sin(9 * x + 5 * y + phase + 1.5 * tl.sin(4 * along + phase))
    shine = tl.sin(3 * x - 2.5 * y + phase)
    cloth = tl.minimum(tl.maximum(6 * tl.sin(14 * x + phase), -1.0), 1.0)
    return tone * (1 + grain * ring + band * shine + stripe * cloth)


@triton.jit
def _hairline(across, y, z, front, recede, peak, burn):
    back = z + 0.03
    bearing = 1 - back / tl.sqrt(across * across + back * back + 1e-6)
    temple = step(bearing, 0.05, 0.2) * (1 - step(bearing, 0.25, 0.45))
    line = front + recede * temple - peak * (1 - step(bearing, 0.0, 0.03))
    line = mix(line, burn, step(bearing, 0.45, 0.75))
    return y - mix(line, -0.34, step(bearing, 1.0, 1.45))


@triton.jit
def _face(p, q, a, b, c, wa, wb, wc, vertices, meshes, there, crown):
    x = between(p, a, b, c, wa, wb, wc, there)
    y = between(p + vertices, a, b, c, wa, wb, wc, there)
    z = between(p + 2 * vertices, a, b, c, wa, wb, wc, there)
    lips = between(p + 3 * vertices, a, b, c, wa, wb, wc, there)
    lids = between(p + 4 * vertices, a, b, c, wa, wb, wc, there)
    ear = between(p + 5 * vertices, a, b, c, wa, wb, wc, there)
    eye = between(p + 6 * vertices, a, b, c, wa, wb, wc, there)
    tone, hair = tl.load(q, there, 0.0), tl.load(q + meshes, there, 0.0)
    phase = tl.load(q + 15 * meshes, there, 0.0)
    phase2 = tl.load(q + 16 * meshes, there, 0.0)
    across = tl.abs(x)

    mottle = tl.sin(17 * x + 11 * y + phase) * tl.sin(13 * y - 7 * z + phase2)
    bare = tone * (1 + 0.05 * mottle)
    bare *= 1 - 0.1 * step(mottle - 60 * (y + 0.2) * (y + 0.2), -1.5, 1.0)

    upper = 0.245 + 0.25 * tl.maximum(across - 0.12, 0.0) - 1.3 * tl.maximum(across - 0.2, 0.0)
    jaw = step(-y - upper, -0.02, 0.05) * step(z, -0.12, 0.05) * (1 - step(-y, 0.5, 0.6))
    shade = jaw * tl.load(q + 7 * meshes, there, 0.0) * (1 - step(lips, -0.3, 0.1))
    value = mix(bare, tl.minimum(hair, 0.35 * bare), shade)

    lip = tl.load(q + 12 * meshes, there, 0.0)
    value = mix(value, bare * lip, step(lips, -0.25, 0.35))

    s = (across - 0.062) / (0.222 - 0.062)
    arch = tl.load(q + 10 * meshes, there, 0.0)
    line = tl.load(q + 8 * meshes, there, 0.0) - 0.02 * s * s
    line += arch * (1 - (2 * s - 1.2) * (2 * s - 1.2))
    half = tl.load(q + 9 * meshes, there, 1.0) * tl.maximum(1.15 - 0.75 * s, 0.3)
    inside = (1 - step(tl.abs(y - line) / half, 0.45, 1.25)) * (z > 0.2).to(tl.float32)
    inside *= step(s, -0.12, 0.15) * (1 - step(s, 0.85, 1.1))
    density = tl.load(q + 11 * meshes, there, 0.0)
    value = mix(value, tl.minimum(hair, 0.5 * tone), inside * density)

    bald = tl.minimum(tl.maximum((y + 0.35 * z - 0.22) / 0.12, 0.0), 1.0)
    cover = tl.load(q + 2 * meshes, there, 0.0) * (1 - crown * (bald * bald * (3 - 2 * bald)))
    front = tl.load(q + 3 * meshes, there, 0.0)
    recede, peak = tl.load(q + 4 * meshes, there, 0.0), tl.load(q + 5 * meshes, there, 0.0)
    border = _hairline(across, y, z, front, recede, peak, tl.load(q + 6 * meshes, there, 0.0))
    strand = tl.sin(70 * x + 9 * tl.sin(7 * z + phase)) * tl.sin(60 * z + 30 * y + phase2)
    capped = step(border + 0.008 * strand, -0.02, 0.035) * cover * (1 - step(ear, 0.6, 0.9))
    value = mix(value, hair * (1 + 0.15 * strand), capped)

    lash = tl.load(q + 14 * meshes, there, 0.0) * (0.45 + 0.55 * step(y, -0.03, -0.012))
    value *= 1 - lash * (1 - step(lids, 0.0, 0.007)) * (1 - eye)

    iris = tl.load(q + 13 * meshes, there, 0.0)
    r = tl.sqrt((across - 0.140) * (across - 0.140) + (y + 0.018) * (y + 0.018)) / 0.026
    disc = iris * (1.25 - 0.6 * step(r, 0.6, 1.0)) * step(r, 0.33, 0.5)
    ball = mix(disc + 0.012, 0.62, step(r, 0.88, 1.12))
    return tl.where(eye > 0.5, ball, value)


@triton.jit
def skin(p, q, a, b, c, mesh, wa, wb, wc, vertices, meshes, there):
    """scenes.albedo.skin: p holds the fields of each vertex, q the tones of each person."""
    return _face(p, q + mesh, a, b, c, wa, wb, wc, vertices, meshes, there, 0.0)


@triton.jit
def person(p, q, a, b, c, mesh, wa, wb, wc, vertices, meshes, there):
    """scenes.paint.person: tables as in skin, with a part of each vertex and more tones."""
    q += mesh
    x = between(p, a, b, c, wa, wb, wc, there)
    y = between(p + vertices, a, b, c, wa, wb, wc, there)
    z = between(p + 2 * vertices, a, b, c, wa, wb, wc, there)
    part = between(p + 7 * vertices, a, b, c, wa, wb, wc, there)
    phase = tl.load(q + 15 * meshes, there, 0.0)
    crown = tl.load(q + 18 * meshes, there, 0.0)
    value = _face(p, q, a, b, c, wa, wb, wc, vertices, meshes, there, crown)

    along = mix(x, y, tl.load(q + 24 * meshes, there, 0.0))
    band = 5 * tl.sin(tl.load(q + 21 * meshes, there, 0.0) * along + phase)
    band = tl.minimum(tl.maximum(band, -1.0), 1.0)
    worn = 1 + tl.load(q + 20 * meshes, there, 0.0) * 0.5 * (band - 1)
    worn *= tl.load(q + 19 * meshes, there, 0.0)
    strand = tl.sin(34 * x + 3 * tl.sin(6 * y + phase)) * tl.sin(57 * x - 5 * y + 2 * phase)
    hung = tl.load(q + meshes, there, 0.0) * (1 + 0.22 * strand) * (1 - 0.45 * z)
    value = tl.where(part > 0.5, worn, value)
    value = tl.where(part > 1.5, hung, value)
    value = tl.where(part > 2.5, tl.load(q + 22 * meshes, there, 0.0), value)
    return tl.where(part > 3.5, 0.03, value)


KERNELS = {"plain": plain, "finish": finish, "skin": skin, "person": person}
"""The albedos by the names that scenes give them."""
