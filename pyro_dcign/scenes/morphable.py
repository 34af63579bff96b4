"""Morphable models that a user owns: a mean, modes of shape and tone, drawn as people."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError, refuse
from pyro_dcign.files import LUMA
from pyro_dcign.images import Pixels
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.scenes.identity import normal
from pyro_dcign.scenes.rasterizer import interpolate
from pyro_dcign.scenes.render import (
    SAMPLES,
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

MODES = 80
"""Most modes of shape, and of tone, that are used: later ones are small."""

MIN_VERTICES = 4
MAX_VERTICES = 100_000
MAX_TRIANGLES = 200_000
MAX_LENGTH = 1e9
"""Largest number of a model, in its own unit."""

SHARE = 0.85  # of the frame's height that the mean face fills
SHAPE_STREAM, TONE_STREAM = 4, 5  # of random words: heads have 1 and 2, chairs 3
DARK, PALE = 0.02, 0.9  # reflectances beyond which no skin goes
BATCH = 8_000_000  # vertices times pictures at a time on a GPU


@dataclass(frozen=True)
class Morphable:
    """A linear model of faces; lengths in any unit.

    Attributes:
        mean: Positions of the mean face; x to the picture's right, y up, z to the camera.
        modes: Change of the positions by one standard deviation.
        tone: Grey value of each vertex, 0 to 1, as a picture has it (not linear).
        tone_modes: Change of the grey values by one standard deviation.
        triangles: Corners, in either winding.
        axis: Where the turning axis lies, from the back (0) to the front (1).
        digest: SHA-256 of what it was read from.
    """

    mean: Float32[ndarray, "vertices 3"]
    modes: Float32[ndarray, "modes vertices 3"]
    tone: Float32[ndarray, " vertices"]
    tone_modes: Float32[ndarray, "tone_modes vertices"]
    triangles: Int64[ndarray, "triangles 3"]
    axis: float
    digest: str


def check_model(path: Path, model: Morphable) -> None:
    """Raise InputError unless a model that was read from this path can be drawn."""
    if not MIN_VERTICES <= len(model.mean) <= MAX_VERTICES:
        raise refuse(path, f"{MIN_VERTICES} to {MAX_VERTICES} vertices", len(model.mean))
    parts = (model.mean, model.modes, model.tone, model.tone_modes)
    if not all((np.abs(part) <= MAX_LENGTH).all() for part in parts):
        raise refuse(path, f"finite numbers within {MAX_LENGTH:g}", "others")
    if not (np.ptp(model.mean, axis=0) > 1e-6 * np.abs(model.mean).max()).all():
        raise refuse(path, "a face with width, height and depth", "a flat one")
    corners = model.triangles
    if not 1 <= len(corners) <= MAX_TRIANGLES or not (
        corners.min() >= 0 and corners.max() < len(model.mean)
    ):
        raise refuse(path, "triangles of these vertices", f"{corners.shape}")


@final
class MorphableFaces:
    """Faces of a morphable model under the same factors as :class:`~.heads.Heads`.

    Args:
        model: What to draw people from.
        device: Where to render.
        shadows: Whether faces throw shadows on themselves.
    """

    name = "faces"
    factors: Mapping[str, FactorRange] = Heads.factors

    def __init__(
        self, model: Morphable, *, device: str | torch.device = "cpu", shadows: bool = True
    ) -> None:
        self.device = torch.device(device)
        self.shadows = shadows
        self.digest = model.digest
        low, high = model.mean.min(0), model.mean.max(0)
        middle = (low + high) / 2
        middle[2] = low[2] + model.axis * (high[2] - low[2])
        unit = high[1] - low[1]
        mean = torch.from_numpy((model.mean - middle) / unit).T.contiguous()
        self.mean = mean.double()[:, :, None].to(self.device)
        modes = torch.from_numpy(model.modes).double() / float(unit)
        self.modes = modes.permute(2, 1, 0).flatten(0, 1).contiguous().to(self.device)
        self.tone = torch.from_numpy(model.tone).double()[:, None].to(self.device)
        tones = torch.from_numpy(model.tone_modes).double().T
        self.tone_modes = tones.contiguous().to(self.device)
        self.triangles = _outward(mean, torch.from_numpy(model.triangles)).to(self.device)
        self.around = neighbours(self.triangles, mean.shape[1])

    def meshes(
        self, identity: Int64[Tensor, " people"]
    ) -> tuple[Meshes, Float32[Tensor, "vertices people"]]:
        """Shape and albedo of each person: every mode a draw of one standard deviation."""
        vertices = _drawn(self.mean.flatten(0, 1), self.modes, identity, SHAPE_STREAM)
        vertices = vertices.unflatten(0, (3, -1))
        grey = _drawn(self.tone, self.tone_modes, identity, TONE_STREAM)
        albedo = grey.clamp(0, 1).pow(2.2).clamp(DARK, PALE)
        normals = vertex_normals(vertices, self.triangles, self.around)
        return Meshes(vertices, normals, self.triangles), albedo

    def render(
        self,
        identity: Int64[Tensor, " images"],
        factors: Mapping[str, Float[Tensor, " images"]],
        *,
        side: int,
    ) -> Pixels:
        """Grey 8-bit images of ``side`` x ``side`` pixels; angles in degrees, as for heads.

        Raises:
            InputError: A factor is missing or ``side`` is not positive.
        """
        missing = [name for name in self.factors if name not in factors]
        if side < 1 or missing:
            raise InputError(
                f"faces need {', '.join(self.factors)} in degrees and a side of 1 or more, "
                f"got side {side} and no {', '.join(missing) or 'other fault'}; mend it"
            )
        azimuth, elevation, light = (factors[name].to(self.device) for name in self.factors)
        turned = rotation(azimuth, elevation)
        toward = (turned * lamp(light)[:, :, None]).sum(1)
        if self.device.type == "cpu":
            chunk = max(4, min(16, 600_000 // (side * SAMPLES) ** 2))
        else:
            chunk = max(4, min(512, BATCH // self.mean.shape[1]))
        out = []
        for start in range(0, len(identity), chunk):
            rows = slice(start, start + chunk)
            people, mesh = identity[rows].cpu().unique(return_inverse=True)
            meshes, albedo = self.meshes(people)
            mesh = mesh.to(self.device)
            view = View(mesh, turned[rows], toward[rows], distance(SHARE), side * SAMPLES)
            paint = Paint(partial(_shade, albedo), "plain", (albedo, albedo))
            out.append(draw(meshes, view, paint, shadows=self.shadows))
        return torch.cat(out)


def _shade(albedo: Float32[Tensor, "vertices people"], surface: Surface) -> Tensor:
    """Albedo of each hit from that of the vertices."""
    corner = surface.corner * albedo.shape[1] + surface.mesh
    return interpolate(albedo.reshape(1, -1), corner, surface.weight)[0]


def _drawn(mean: Tensor, modes: Tensor, identity: Tensor, stream: int) -> Tensor:
    """The mean plus a draw of each mode, for each person."""
    draws = torch.from_numpy(normal(identity, stream=stream, count=max(1, modes.shape[1])))
    offset = modes @ draws[:, : modes.shape[1]].to(modes.device).T
    # On a grid, so that the order in which a matmul adds does not show.
    grid = ((mean.reshape(-1, 1) + offset) * 2**20).round().mul_(2**-20)
    return grid.float()


def _outward(mean: Float32[Tensor, "3 vertices"], triangles: Tensor) -> Tensor:
    """Triangles wound so that most face away from the middle, whatever the model's habit."""
    a, b, c = (mean[:, triangles[:, k]] for k in range(3))
    normal_ = torch.linalg.cross(b - a, c - a, dim=0)
    away = (normal_ * (a + b + c - 3 * mean.mean(1, keepdim=True))).sum()
    return triangles if away > 0 else triangles.flip(1)


def luma(rgb: Any) -> Float32[ndarray, "..."]:
    """Grey value of colours in the last axis (BT.601); linear, so it holds for modes too."""
    weighted: Float32[ndarray, ...] = rgb @ np.array(LUMA, np.float32)
    return weighted
