"""Plugs: what is seen through a mouth and past the eyeballs, so that no ground shines through."""

from typing import final

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pyro_dcign.scenes.body import borders

DEPTH = 0.09
"""How far behind its rim a hollow ends."""


@final
class Plugs:
    """A dark cone behind the rim of the mouth and of each eye.

    Args:
        mean: The mean head.
        triangles: Its topology, with those openings.
    """

    def __init__(
        self, mean: Float32[Tensor, "3 vertices"], triangles: Int64[Tensor, "triangles 3"]
    ) -> None:
        # The two shortest borders are those of the eyeballs, the lowest is the neck's.
        loops = sorted(borders(triangles), key=lambda loop: float(mean[1, loop].mean()))[1:]
        self.loops = [loop for loop in loops if len(loop) > 20]
        parts, start = [], 0
        for loop in self.loops:
            k = torch.arange(len(loop))
            tip = torch.full_like(k, len(loop))
            parts.append(torch.stack(((k + 1) % len(loop), k, tip), 1) + start)
            start += len(loop) + 1
        self.triangles = torch.cat(parts).to(mean.device)
        self.count = start

    def vertices(
        self, head: Float32[Tensor, "3 vertices people"]
    ) -> Float32[Tensor, "3 plug people"]:
        """Each rim, and the point behind it."""
        parts = []
        for loop in self.loops:
            rim = head[:, loop]
            tip = rim.mean(1, keepdim=True)
            tip[2] -= DEPTH
            parts += [rim, tip]
        return torch.cat(parts, 1)
