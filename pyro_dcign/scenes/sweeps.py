"""Sweeps: surfaces that a closed profile leaves along a path, in one topology for every chair.

A chair has so many *bars* (legs, rails, slats) and *slabs* (seats, backs, cushions). A part that a
chair lacks keeps its vertices at the origin, where its triangles have no area and are never drawn:
so chairs of every style share one list of triangles and are rendered in one batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

ROW = 10
"""Numbers of a ring: centre (3), half width, half depth, bend, direction of the width (3), and how
square the profile is (0 round, 1 a box with narrow bevels)."""


@dataclass(frozen=True)
class Kind:
    """Parts of one resolution: how many of them, rings along each path, points around each ring."""

    parts: int
    rings: int
    round: Float64[ndarray, "2 around"]
    box: Float64[ndarray, "2 around"]

    @property
    def around(self) -> int:
        """Points of a profile."""
        return int(self.round.shape[1])


def _bar_profile() -> tuple[Float64[ndarray, "2 8"], Float64[ndarray, "2 8"]]:
    angle = np.radians(22.5 + 45 * np.arange(8))
    inner = 0.72
    x = np.array([1, inner, -inner, -1, -1, -inner, inner, 1])
    y = np.array([inner, 1, 1, inner, -inner, -1, -1, -inner])
    return np.stack((np.cos(angle), np.sin(angle))), np.stack((x, y))


def _slab_profile() -> tuple[Float64[ndarray, "2 24"], Float64[ndarray, "2 24"]]:
    across = np.array([1, 0.96, 0.78, 0.56, 0.33, 0.11])
    top = np.concatenate((across, -across[::-1]))
    x = np.concatenate((top, top[::-1]))
    sign = np.repeat([1.0, -1.0], 12)
    flat = np.where(np.abs(x) == 1, 0.55, 1.0)
    return np.stack((x, sign * np.sqrt(1 - x * x))), np.stack((x, sign * flat))


BARS = Kind(30, 8, *_bar_profile())
SLABS = Kind(6, 12, *_slab_profile())
KINDS = (BARS, SLABS)
VERTICES = sum(kind.parts * kind.rings * kind.around for kind in KINDS)


def topology() -> Int64[Tensor, "triangles 3"]:
    """Triangles of all parts, anticlockwise when seen from outside; both ends are closed."""
    out, start = [], 0
    for kind in KINDS:
        n, k = kind.rings, kind.around
        ring, point = np.meshgrid(np.arange(n - 1), np.arange(k), indexing="ij")
        after = (point + 1) % k
        a, b = ring * k + point, ring * k + after
        lower, upper = np.stack((a, b + k, b), -1), np.stack((a, a + k, b + k), -1)
        wall = np.concatenate((lower, upper)).reshape(-1, 3)
        i = np.arange(k // 2 - 1)  # an end is a strip between the profile's upper and lower half
        j = k - 1 - i
        strip = np.concatenate((np.stack((i, j, j - 1), -1), np.stack((i, j - 1, i + 1), -1)))
        part = np.concatenate((wall, strip[:, ::-1], strip + (n - 1) * k))
        each = np.arange(kind.parts)[:, None, None] * n * k
        out.append((part + each + start).reshape(-1, 3))
        start += kind.parts * n * k
    return torch.from_numpy(np.concatenate(out))


def coordinates() -> Float32[Tensor, "3 vertices"]:
    """Of each vertex: place along its path (0 to 1), and across and through its profile (±1)."""
    out = []
    for kind in KINDS:
        along = np.linspace(0, 1, kind.rings)[:, None]
        profile = kind.box[:, None, :]
        one = np.stack(np.broadcast_arrays(along, profile[0], profile[1]))
        out.append(np.tile(one.reshape(3, -1), kind.parts))
    return torch.from_numpy(np.concatenate(out, 1)).float()


def sweep(
    kind: Kind, rings: Float64[Tensor, "chairs parts rings row"]
) -> Float64[Tensor, "3 vertices chairs"]:
    """Vertices of the parts of one kind; a ring stands at right angles to its path."""
    # Component by component, as a batched matmul may round by the size of its batch.
    x = rings.permute(3, 1, 2, 0).unsqueeze(3)  # row, parts, rings, 1, chairs
    centre, width, depth, bend, hint, square = x[:3], x[3], x[4], x[5], x[6:9], x[9]
    ahead = torch.cat((centre[:, :, 1:], centre[:, :, -1:]), 2)
    behind = torch.cat((centre[:, :, :1], centre[:, :, :-1]), 2)
    through = _unit(_cross(hint, ahead - behind))
    across = _unit(_cross(ahead - behind, through))
    profile = torch.from_numpy(np.stack((kind.round, kind.box))).to(rings)[..., None]
    u = torch.lerp(profile[0, 0], profile[1, 0], square)
    v = torch.lerp(profile[0, 1], profile[1, 1], square)
    out = centre + across * (width * u) + through * (depth * v + bend * u * u)
    return out.flatten(1, 3)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack(
        (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    )


def _unit(a: Tensor) -> Tensor:
    return a * (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]).clamp(min=1e-24).rsqrt()
