"""Lofts: triangles between rings of points, for what a person wears."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


def wall(
    rings: int, around: int, *, closed: bool = True, start: int = 0
) -> Int64[Tensor, "triangles 3"]:
    """Triangles between each ring and the next, numbered ring by ring.

    A ring that runs anticlockwise when seen from its first side, above a next one below it, gives
    triangles that face outwards.

    Example:
        >>> wall(2, 3).tolist()[:2]
        [[0, 3, 1], [1, 4, 2]]
    """
    ring = torch.arange(rings - 1)[:, None] * around
    point = torch.arange(around if closed else around - 1)
    a, b = (ring + point).flatten(), (ring + (point + 1) % around).flatten()
    upper = torch.stack((a, a + around, b), 1)
    lower = torch.stack((b, a + around, b + around), 1)
    return torch.cat((upper, lower)) + start


def spline(
    keys: Float32[Tensor, "keys *rest"], at: Float32[Tensor, "at *rest"]
) -> Float32[Tensor, "at *rest"]:
    """Cubic curve through the keys at 0, 1, 2, …, evaluated at real numbers (Catmull-Rom)."""
    last = len(keys) - 1
    low = at.floor().clamp(0, last - 1)
    t = at - low
    k = low.long()

    def key(offset: int) -> Tensor:
        return keys.gather(0, (k + offset).clamp(0, last).expand(len(at), *keys.shape[1:]))

    before, a, b, after = (key(offset) for offset in (-1, 0, 1, 2))
    slope_a, slope_b = (b - before) / 2, (after - a) / 2
    s = t * t * (3 - 2 * t)
    return torch.lerp(a, b, s) + t * (1 - t) * ((1 - t) * slope_a - t * slope_b)


def tube(
    path: Float32[Tensor, "3 points people"],
    radius: Float32[Tensor, " people"],
    *,
    closed: bool,
) -> Float32[Tensor, "3 corners people"]:
    """Points of a tube with four edges along a path, ring by ring; ``wall`` joins them.

    Args:
        path: Its middle.
        radius: Half its thickness.
        closed: Whether the path ends where it begins.
    """
    if closed:
        ahead, behind = path.roll(-1, 1), path.roll(1, 1)
    else:
        ahead = torch.cat((path[:, 1:], path[:, -1:]), 1)
        behind = torch.cat((path[:, :1], path[:, :-1]), 1)
    along = _unit(ahead - behind)
    up = torch.zeros_like(along)
    # Any fixed direction that no path runs along will do: glasses lie level and face forwards.
    up[0], up[1], up[2] = 0.31, 0.52, 0.79
    side = _unit(torch.linalg.cross(along, up, dim=0))
    third = torch.linalg.cross(along, side, dim=0)
    points = [path + radius * (c * side + s * third) for c, s in _SQUARE]
    return torch.stack(points, 2).flatten(1, 2)


_SQUARE = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))


def _unit(x: Tensor) -> Tensor:
    return x * x.square().sum(0, keepdim=True).clamp(min=1e-20).rsqrt()
