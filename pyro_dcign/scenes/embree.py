"""Heads and chairs by ray tracing on a CPU with Embree (extra ``embree``), as a second opinion."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray
from torch import Tensor

from pyro_dcign.errors import InputError
from pyro_dcign.scenes.rasterizer import Hits
from pyro_dcign.scenes.render import Lit, Meshes, View

Vectors = Float32[ndarray, "rays 3"]


class Embree:
    """Traces camera and shadow rays in the axes of each mesh; scenes last for one call.

    Raises:
        InputError: The package embreex is not installed.
    """

    def __init__(self) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh  # noqa: PLC0415  an optional extra
            from embreex.rtcore_scene import EmbreeScene  # noqa: PLC0415
        except ImportError as error:
            raise InputError(
                "renderer embree needs the package embreex, found none;"
                " install pyro-dcign[embree] or take renderer torch"
            ) from error
        self._scene, self._mesh = EmbreeScene, TriangleMesh

    def __call__(self, meshes: Meshes, view: View) -> tuple[Hits, Lit]:
        """Hits of the camera's samples, and the test for shadow."""
        triangles = meshes.triangles.cpu().numpy()

        def built(corners: Int64[ndarray, "triangles 3"]) -> list[Any]:
            scenes = {}
            for mesh in view.mesh.unique().tolist():
                scenes[mesh] = self._scene()
                self._mesh(scenes[mesh], meshes.vertices[:, :, mesh].T.cpu().numpy()[corners])
            return [scenes[mesh] for mesh in view.mesh.tolist()]

        of = built(triangles)
        side = view.side
        grid = (torch.arange(side) + 0.5) * (2 / side) - 1
        many = torch.ones(len(of), dtype=torch.float64)
        spread, away_from = (many * torch.as_tensor(x).cpu() for x in (view.spread, view.distance))
        shift = torch.zeros(len(of), 2) if view.shift is None else view.shift.cpu()
        height = torch.zeros(len(of)) if view.height is None else view.height.cpu()
        sample, triangle, weight = [], [], []
        for k, scene in enumerate(of):
            turn = view.rotation[k].cpu()
            wide = (grid - 2 * shift[k, 0]) * float(spread[k] / 2)
            high = (-grid - 2 * shift[k, 1]) * float(spread[k] / 2)
            up, right = torch.meshgrid(high, wide, indexing="ij")
            ray = torch.stack((right, up, -torch.ones_like(right)), -1).view(-1, 3)
            rays = (ray @ turn).numpy()
            eye = (turn[2] * float(away_from[k]) - turn[1] * height[k]).numpy()
            found = scene.run(np.broadcast_to(eye, rays.shape).copy(), rays, output=1)
            away = (found["Ng"] * rays).sum(1) > 0  # the inside of a mesh is not drawn
            hit = np.flatnonzero((found["primID"] >= 0) & ~away)
            u, v = found["u"][hit], found["v"][hit]
            sample.append(hit + k * side * side)
            triangle.append(found["primID"][hit])
            weight.append(np.stack((1 - u - v, u, v)))
        device = meshes.vertices.device
        at = torch.from_numpy(np.concatenate(sample)).to(device)
        hits = Hits(
            at,
            at // (side * side),
            torch.from_numpy(np.concatenate(triangle)).long().to(device),
            torch.from_numpy(np.concatenate(weight, 1)).float().to(device),
        )

        def lit(point: Tensor, image: Tensor) -> Tensor:
            start = np.searchsorted(image.cpu().numpy(), np.arange(len(of) + 1))
            origin = np.ascontiguousarray(point.T.cpu().numpy())
            out = np.ones(len(origin), np.float32)
            throwing = of if meshes.casting is None else built(triangles[: meshes.casting])
            for k, scene in enumerate(throwing):
                rows = slice(start[k], start[k + 1])
                toward = np.broadcast_to(view.lamp[k].cpu().numpy(), origin[rows].shape).copy()
                out[rows] = scene.run(origin[rows].copy(), toward, query="OCCLUDED") < 0
            return torch.from_numpy(out).to(device)

        return hits, lit
