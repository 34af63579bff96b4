"""From meshes, poses and lamps to grey pictures: one camera and one shading for all scenes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from pyro_dcign.images import Pixels
from pyro_dcign.machine import usable
from pyro_dcign.scenes.rasterizer import Hits, interpolate, nearest, resolve
from pyro_dcign.scenes.shadow import ShadowMap, turn

FIELD_OF_VIEW = 22.0
"""Full angle of the camera, in degrees."""

SPREAD = 2 * math.tan(math.radians(FIELD_OF_VIEW / 2))
"""Width of such a camera's frame at a distance of one."""

LAMP_ELEVATION = 25.0
"""Height of the lamp above the horizon, in degrees."""

SAMPLES = 2
"""Samples a pixel, along each side."""

LIFT = 0.012
"""How far above its surface a point asks for light: facets must not shade themselves."""

BIAS = 0.003
"""How much nearer to the lamp than a point a surface must be to throw a shadow on it."""


@dataclass(frozen=True)
class Meshes:
    """Meshes of one topology.

    Attributes:
        vertices: Positions; the frame shows one unit or so about the origin.
        normals: Unit vectors outwards.
        triangles: Corners, anticlockwise when seen from outside.
        shading: How many of the first vertices a shadow map must hold; all where it is none.
        casting: How many of the first triangles throw shadows; all where it is none.
    """

    vertices: Float32[Tensor, "3 vertices meshes"]
    normals: Float32[Tensor, "3 vertices meshes"]
    triangles: Int64[Tensor, "triangles 3"]
    shading: int | None = None
    casting: int | None = None


@dataclass(frozen=True)
class Lamps:
    """Light beside that of the main lamp.

    Attributes:
        ambient: Share of light that comes from everywhere; the main lamp gives the rest.
        fill: Vector towards a second lamp that throws no shadow, in the mesh's axes; its length is
            the lamp's strength. None for no such lamp.
    """

    ambient: float | Float32[Tensor, " images"] = 0.15
    fill: Float32[Tensor, "images 3"] | None = None


@dataclass(frozen=True)
class View:
    """How each picture sees its mesh, in the mesh's own axes.

    Attributes:
        mesh: Which mesh each picture shows.
        rotation: From the mesh's axes to the camera's (x right, y up, z towards the camera).
        lamp: Unit vector towards the lamp, in the mesh's axes.
        distance: Of the camera from the origin.
        side: Samples a side.
        spread: Width of the frame at a distance of one; a smaller one magnifies.
        shift: Of the principal point to the right and up, as a share of the frame.
        height: Of the mesh's origin above the camera's axis.
    """

    mesh: Int64[Tensor, " images"]
    rotation: Float32[Tensor, "images 3 3"]
    lamp: Float32[Tensor, "images 3"]
    distance: float | Float32[Tensor, " images"]
    side: int
    spread: float | Float64[Tensor, " images"] = SPREAD
    shift: Float32[Tensor, "images 2"] | None = None
    height: Float32[Tensor, " images"] | None = None


@dataclass(frozen=True)
class Surface:
    """What was hit: mesh, corners (vertex numbers) and their weights."""

    mesh: Int64[Tensor, " hits"]
    corner: Int64[Tensor, "3 hits"]
    weight: Float32[Tensor, "3 hits"]


Albedo = Callable[[Surface], Tensor]
"""Share of light that a surface throws back, 0 to 1, at each hit."""


@dataclass(frozen=True)
class Paint:
    """An albedo that a GPU can compute in one kernel with all other shading.

    Attributes:
        formula: The albedo in PyTorch.
        kernel: Name of the same formula in ``kernels.albedo.KERNELS``.
        tables: What the kernel reads.
    """

    formula: Albedo
    kernel: str
    tables: tuple[Float32[Tensor, "..."], Float32[Tensor, "..."]]

    def __call__(self, surface: Surface) -> Tensor:
        """Albedo at each hit."""
        return self.formula(surface)


Lit = Callable[[Tensor, Tensor], Tensor]
"""Share of the lamp's light at a point (3, hits) of a picture (hits,)."""


@runtime_checkable
class Tracer(Protocol):
    """Finds what is seen and what is lit."""

    def __call__(self, meshes: Meshes, view: View) -> tuple[Hits, Lit]:
        """Hits of the camera's samples, and the test for shadow."""
        ...


def project(
    meshes: Meshes, view: View
) -> tuple[Float32[Tensor, "3 vertices images"], Float32[Tensor, "3 vertices images"]]:
    """Vertices of each picture's mesh, in its own axes and as its camera sees them."""
    vertices = meshes.vertices.index_select(2, view.mesh)
    right, up, toward = turn(view.rotation, vertices)
    if view.height is not None:
        up = up + view.height
    near = 1 / (view.distance - toward)
    focal = view.side / view.spread
    scale = near * (focal if isinstance(focal, float) else focal.float())
    half = view.side / 2
    x, y = half + right * scale, half - up * scale
    if view.shift is not None:
        x, y = x + view.shift[:, 0] * view.side, y - view.shift[:, 1] * view.side
    return vertices, torch.stack((x, y, near))


def _shadow(vertices: Tensor, meshes: Meshes, view: View) -> ShadowMap:
    side = max(96, view.side * 3 // 4)
    triangles = meshes.triangles[: meshes.casting]
    return ShadowMap(vertices, triangles, view.lamp, side=side, held=meshes.shading)


def rasterize(meshes: Meshes, view: View) -> tuple[Hits, Lit]:
    """The default tracer: a z-buffer and a shadow map in PyTorch."""
    vertices, screen = project(meshes, view)
    packed = nearest(screen, meshes.triangles, side=view.side)
    hits = resolve(packed, screen, meshes.triangles)

    def lit(point: Tensor, image: Tensor) -> Tensor:
        return _shadow(vertices, meshes, view).lit(point, image, bias=BIAS)

    return hits, lit


def draw(
    meshes: Meshes,
    view: View,
    albedo: Albedo,
    *,
    lamps: Lamps = Lamps(),
    ground: float | Float32[Tensor, "images side side"] = 0.0,
    shadows: bool = True,
    tracer: Tracer = rasterize,
) -> Pixels:
    """Shade what the camera sees: albedo · (ambient + (1 - ambient) · max(0, n · l) · lit).

    A second lamp adds max(0, n · fill) to the bracket. Radiance is averaged over a pixel's samples;
    its 1/2.2th power is the 8-bit value. On a GPU with Triton the shading of a `Paint` is one
    kernel, whose pictures differ by a grey level here and there.

    Args:
        meshes: What is shown.
        view: How each picture sees it.
        albedo: Share of light that is thrown back.
        lamps: Light beside the main lamp's.
        ground: Radiance where there is no surface: one for all, or one for each pixel.
        shadows: Whether things throw shadows on themselves.
        tracer: Finds what is seen and what is lit.
    """
    if tracer is rasterize and isinstance(albedo, Paint) and usable(meshes.vertices):
        return _drawn(meshes, view, albedo, lamps=lamps, ground=ground, shadows=shadows)
    hits, lit = tracer(meshes, view)
    images, side = len(view.mesh), view.side
    image = hits.image
    mesh = view.mesh.index_select(0, image)
    corner = meshes.triangles.T.contiguous().index_select(1, hits.triangle)
    table = torch.cat((meshes.normals, meshes.vertices)).flatten(1)
    found = interpolate(table, corner * meshes.vertices.shape[2] + mesh, hits.weight)
    normal = found[:3] * found[:3].square().sum(0).rsqrt_()
    slope = (normal * view.lamp.T.contiguous().index_select(1, image)).sum(0).clamp_(min=0)
    if shadows:
        slope = slope * lit(torch.add(found[3:], normal, alpha=LIFT), image)
    ambient = lamps.ambient
    if isinstance(ambient, Tensor):
        ambient = ambient.index_select(0, image)
    light = ambient + (1 - ambient) * slope
    if lamps.fill is not None:
        light += (normal * lamps.fill.T.contiguous().index_select(1, image)).sum(0).clamp_(min=0)
    radiance = _samples(ground, images, side, light.device)
    radiance.scatter_(0, hits.sample, light * albedo(Surface(mesh, corner, hits.weight)))
    mean = torch.nn.functional.avg_pool2d(radiance.view(images, 1, side, side), SAMPLES)
    value = mean.squeeze(1).clamp_(0, 1).pow_(1 / 2.2).mul_(255).add_(0.5)
    return value.to(torch.uint8)


def _samples(ground: float | Tensor, images: int, side: int, device: torch.device) -> Tensor:
    """Radiance of the ground at every sample."""
    if not isinstance(ground, Tensor):
        return torch.full((images * side * side,), ground, device=device)
    return ground.repeat_interleave(SAMPLES, 1).repeat_interleave(SAMPLES, 2).flatten()


def _drawn(
    meshes: Meshes,
    view: View,
    albedo: Paint,
    *,
    lamps: Lamps,
    ground: float | Tensor,
    shadows: bool,
) -> Pixels:
    from pyro_dcign.scenes.kernels.shade import shade  # noqa: PLC0415

    vertices, screen = project(meshes, view)
    packed = nearest(screen, meshes.triangles, side=view.side)
    shadow = None
    if shadows:
        seen = _shadow(vertices, meshes, view)
        shadow = (seen.depth, seen.table, seen.side)
    return shade(
        packed,
        screen,
        meshes.triangles,
        meshes.normals,
        meshes.vertices,
        view.mesh,
        view.lamp,
        shadow,
        albedo.kernel,
        albedo.tables,
        samples=SAMPLES,
        ambient=lamps.ambient,
        fill=lamps.fill,
        ground=ground,
        lift=LIFT,
        bias=BIAS,
    )


def rotation(
    azimuth: Float[Tensor, " images"], elevation: Float[Tensor, " images"]
) -> Float32[Tensor, "images 3 3"]:
    """Turn a thing that faces the camera; degrees.

    Positive azimuth turns its face to the picture's left, positive elevation shows it from above.
    """
    a, e = torch.deg2rad(azimuth.double()), torch.deg2rad(elevation.double())
    ca, sa, ce, se = a.cos(), a.sin(), e.cos(), e.sin()
    zero = torch.zeros_like(a)
    turn = (ca, zero, -sa, -se * sa, ce, -se * ca, ce * sa, se, ce * ca)
    return torch.stack(turn, 1).view(-1, 3, 3).float()


def lamp(
    light: Float[Tensor, " images"], elevation: Float[Tensor, " images"] | None = None
) -> Float32[Tensor, "images 3"]:
    """Direction of the lamp in the camera's axes; positive degrees light the picture's right."""
    a = torch.deg2rad(light.double())
    e = math.radians(LAMP_ELEVATION)
    up, across = torch.full_like(a, math.sin(e)), torch.full_like(a, math.cos(e))
    if elevation is not None:
        e_ = torch.deg2rad(elevation.double())
        up, across = e_.sin(), e_.cos()
    return torch.stack((a.sin() * across, up, a.cos() * across), 1).float()


def distance(share: float) -> float:
    """Camera distance at which one unit at the origin fills this share of the frame."""
    return 1 / share / SPREAD


def vertex_normals(
    vertices: Float32[Tensor, "3 vertices meshes"],
    triangles: Int64[Tensor, "triangles 3"],
    around: Int64[Tensor, "vertices valence"],
) -> Float32[Tensor, "3 vertices meshes"]:
    """Unit normals, the area-weighted mean of the triangles ``around`` each vertex.

    ``around`` holds triangle numbers, padded with the number of triangles (see `neighbours`):
    a sum in a fixed order, where a scatter on CUDA would have none.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (
        [axis.index_select(0, triangles[:, k]) for axis in vertices] for k in range(3)
    )
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    total = []
    for face in (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx):
        padded = torch.cat((face, face.new_zeros(1, face.shape[1])))
        each = padded.index_select(0, around[:, 0])
        for column in around.T[1:]:
            each += padded.index_select(0, column)
        total.append(each)
    x, y, z = total
    return torch.stack(total) * (x * x + y * y + z * z).clamp_(min=1e-24).rsqrt_()


def neighbours(
    triangles: Int64[Tensor, "triangles 3"], vertices: int
) -> Int64[Tensor, "vertices valence"]:
    """Triangles around each vertex, padded with the number of triangles."""
    corner = triangles.flatten()
    order = corner.argsort(stable=True)
    count = torch.bincount(corner, minlength=vertices)
    start = count.cumsum(0) - count
    out = torch.full((vertices, int(count.max())), len(triangles), device=triangles.device)
    owner = corner[order]
    out[owner, torch.arange(len(order), device=order.device) - start[owner]] = order // 3
    return out
