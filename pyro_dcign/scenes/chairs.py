"""Chairs: a catalogue without end, stood before a white ground and turned full circle."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels
from pyro_dcign.scenes.blueprint import blueprint
from pyro_dcign.scenes.rasterizer import interpolate
from pyro_dcign.scenes.render import (
    SAMPLES,
    Lamps,
    Meshes,
    Paint,
    Surface,
    View,
    distance,
    draw,
    lamp,
    neighbours,
    rotation,
    vertex_normals,
)
from pyro_dcign.scenes.sweeps import BARS, SLABS, VERTICES, coordinates, sweep, topology

CHAIRS = 1357
"""Chairs of the paper's set (Aubry et al. 2014)."""

ELEVATIONS = (20.0, 30.0)
"""From where they are seen, in degrees above the horizon."""

AZIMUTHS = tuple(360 * k / 31 for k in range(-15, 16))
"""The 31 azimuths of the paper's set, from -180 to 180 degrees."""

SHARE = 0.95  # of the frame that a chair's bounding ball fills
LIGHT = 35.0
AMBIENT = 0.35
CHUNK = 600_000  # samples at a time on a CPU: its cache holds them
BATCH = 256  # pictures at a time on a GPU


class Chairs:
    """Chairs that no one has built.

    The graphics code has azimuth and what is intrinsic (paper, section 4.2), so the elevation of
    the view belongs to the identity: number 2 c + e is chair c seen from ``ELEVATIONS[e]``. A
    minibatch in which only azimuth varies thus holds it.

    Args:
        device: Where to render.
        shadows: Whether chairs throw shadows on themselves.
    """

    name = "chairs"
    factors: Mapping[str, FactorRange] = {"azimuth": FactorRange(-180.0, 180.0, AZIMUTHS, 360.0)}

    def __init__(self, *, device: str | torch.device = "cpu", shadows: bool = True) -> None:
        self.device = torch.device(device)
        self.shadows = shadows
        self.triangles = topology().to(self.device)
        self.around = neighbours(self.triangles, VERTICES)
        self.places = coordinates().to(self.device)

    def meshes(self, chairs: Int64[Tensor, " chairs"]) -> tuple[Meshes, Float32[Tensor, "rows _"]]:
        """Shape of each chair within the ball of diameter 1, and the finish of each vertex.

        The finish has five rows (see `Blueprint.tones`) of vertices times chairs.
        """
        plans = [blueprint(chair) for chair in chairs.tolist()]
        parts = [
            sweep(kind, torch.from_numpy(np.stack(rings)).to(self.device))
            for kind, rings in ((BARS, [p.bars for p in plans]), (SLABS, [p.slabs for p in plans]))
        ]
        vertices = _fitted(torch.cat(parts, 1))
        normals = vertex_normals(vertices, self.triangles, self.around)
        tones = np.stack([plan.tones[plan.finish] for plan in plans])  # chairs, parts, 5
        rows = torch.from_numpy(tones).float().to(self.device).permute(2, 1, 0)
        size = [kind.rings * kind.around for kind in (BARS, SLABS) for _ in range(kind.parts)]
        each = torch.tensor(size, device=self.device)
        finish = rows.repeat_interleave(each, 1)
        return Meshes(vertices, normals, self.triangles), finish.flatten(1)

    def render(
        self,
        identity: Int64[Tensor, " images"],
        factors: Mapping[str, Float[Tensor, " images"]],
        *,
        side: int,
    ) -> Pixels:
        """Grey 8-bit images of ``side`` x ``side`` pixels; azimuth in degrees.

        Positive azimuth turns the chair's front to the picture's left.

        Raises:
            InputError: No azimuth, or ``side`` is not positive.
        """
        if side < 1:
            raise InputError(f"side is a number of pixels, 1 or more, got {side}; raise it")
        if "azimuth" not in factors:
            raise InputError("chairs need azimuth in degrees, got none; add it")
        samples = (side * SAMPLES) ** 2
        chunk = max(4, min(20, CHUNK // samples)) if self.device.type == "cpu" else BATCH
        azimuth = factors["azimuth"].to(self.device)
        pictures = [
            self._render(identity[start : start + chunk], azimuth[start : start + chunk], side)
            for start in range(0, len(identity), chunk)
        ]
        return torch.cat(pictures)

    def _render(self, identity: Tensor, azimuth: Tensor, side: int) -> Tensor:
        identity = identity.cpu()
        chairs, mesh = identity.div(2, rounding_mode="floor").unique(return_inverse=True)
        elevation = torch.tensor(ELEVATIONS)[identity.remainder(2)].to(self.device)
        meshes, finish = self.meshes(chairs)
        turned = rotation(azimuth, elevation)
        toward = (turned * lamp(torch.full_like(azimuth, LIGHT))[:, :, None]).sum(1)
        view = View(mesh.to(self.device), turned, toward, distance(SHARE), side * SAMPLES)

        formula = partial(_albedo, finish, self.places, len(chairs))
        albedo = Paint(formula, "finish", (finish, self.places))
        return draw(meshes, view, albedo, lamps=Lamps(AMBIENT), ground=1.0, shadows=self.shadows)


def _fitted(vertices: Tensor) -> Float32[Tensor, "3 vertices chairs"]:
    """Chairs moved and scaled into the ball of diameter 1 about the origin."""
    used = (vertices != 0).any(0)  # a part that is absent lies at the origin
    wide = torch.where(used, vertices, torch.inf).amin(1, keepdim=True)
    high = torch.where(used, vertices, -torch.inf).amax(1, keepdim=True)
    moved = torch.where(used, vertices - (wide + high) / 2, 0.0)
    reach = moved.square().sum(0).amax(0).sqrt()
    # On a grid, so that the last bit of a machine's sine does not show.
    return (moved * (0.5 / reach) * 2**20).round().mul_(2**-20).float()


def _albedo(finish: Tensor, places: Tensor, chairs: int, surface: Surface) -> Tensor:
    """Wood grain along a part, bands of reflection along a metal tube, stripes of a cloth."""
    corner = surface.corner * chairs + surface.mesh
    tone, grain, band, stripe, phase = finish.index_select(1, corner[0])
    along, x, y = interpolate(places, surface.corner, surface.weight)
    ring = torch.sin(9 * x + 5 * y + phase + 1.5 * torch.sin(4 * along + phase))
    shine = torch.sin(3 * x - 2.5 * y + phase)
    cloth = torch.sin(14 * x + phase).mul_(6).clamp_(-1, 1)
    value: Tensor = tone * (1 + grain * ring + band * shine + stripe * cloth)
    return value
