"""Grounds: what stands behind a person, a blurred texture drawn from the identity.

A ground knows nothing of the pose. The frame's window into it moves with the camera's framing: it
is part of the picture that is framed.
"""

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from pyro_dcign.scenes.identity import uniform

STREAM = 8  # of random words; heads have 1 and 2, chairs 3, morphables 4 and 5, people 6 and 7

TEXELS = 64
WIDTH = 1.75
"""Width of a texture, in frames at neutral framing: the farthest window lies inside it."""

OCTAVES = (3, 6, 12)
"""Sides of the random grids that clutter is made of."""

SHARES = {"black": 0.08, "grey": 0.24, "gradient": 0.26, "clutter": 0.42}
"""How often each kind of ground comes."""


def textures(
    identity: Int64[Tensor, " people"], device: str | torch.device = "cpu"
) -> Float32[Tensor, "people texels texels"]:
    """Radiance of each person's ground, from 0 to 1, made on a device.

    Example:
        >>> textures(torch.arange(3)).shape
        torch.Size([3, 64, 64])
    """
    grids = [side * side for side in OCTAVES]
    draws = uniform(identity, stream=STREAM, count=10 + sum(grids))
    u = torch.from_numpy(draws).float().to(device)
    kind, low, high, angle, bend, edge, detail, x, y, fall = u[:, :10, None, None].unbind(1)
    a, b = (0.02 + 0.78 * tone**1.6 for tone in (low, high))  # radiances: a picture shows roots

    at = (torch.arange(TEXELS, device=device) + 0.5) / TEXELS * 2 - 1
    down, right = torch.meshgrid(at, at, indexing="ij")
    along = right * torch.cos(2 * np.pi * angle) + down * torch.sin(2 * np.pi * angle)
    slope = (0.5 + 0.45 * along).clamp(0, 1) ** (0.6 + 1.2 * bend)
    spot = ((right - 0.8 * x + 0.4) ** 2 + (down - 0.8 * y + 0.4) ** 2).sqrt() * (0.5 + 0.5 * fall)
    ramp = torch.where(bend < 0.5, slope, spot.clamp(0, 1))

    fields = [
        interpolate(part.view(-1, 1, side, side), TEXELS, mode="bicubic", align_corners=False)[:, 0]
        for part, side in zip(u[:, 10:].split(grids, 1), OCTAVES, strict=True)
    ]
    # Shapes out of focus: a field cut softly, over a field that is not cut.
    sharp = 1.5 + 7 * edge
    cut = torch.sigmoid(sharp * 2 * (fields[1] - 0.5))
    smooth = 0.55 * fields[0] + 0.3 * fields[1] + 0.15 * fields[2]
    clutter = torch.lerp(smooth, cut, 0.25 + 0.5 * detail) + 0.12 * (fields[2] - 0.5)

    edges = np.cumsum(list(SHARES.values()))
    black, grey, gradient, _ = edges
    share = torch.where(kind < gradient, ramp, clutter.clamp(0, 1))
    share = torch.where(kind < grey, torch.zeros_like(share), share)
    ground = torch.where(kind < black, torch.zeros_like(share), torch.lerp(a, b, share))
    return (ground.clamp(0, 1) * 2**12).round() * 2**-12  # so that no last bit shows


def window(
    texture: Float32[Tensor, "images texels texels"],
    shift: Float32[Tensor, "images 2"],
    size: Tensor,
    *,
    side: int,
) -> Float32[Tensor, "images side side"]:
    """The frame's part of each texture, under the camera's shift (right, up) and size."""
    at = (torch.arange(side, device=texture.device) + 0.5) / side * 2 - 1
    scale = (1 / (WIDTH * size.float()))[:, None]
    right = (at - 2 * shift[:, :1]) * scale
    down = (at + 2 * shift[:, 1:]) * scale
    grid = torch.stack(
        (right[:, None, :].expand(-1, side, -1), down[:, :, None].expand(-1, -1, side)), -1
    )
    found: Tensor = grid_sample(
        texture[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[:, 0]
