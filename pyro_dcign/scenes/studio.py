"""Studios: camera, lamps and axis of turning of an identity, the same in all its poses."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from pyro_dcign.scenes.identity import uniform

STREAM = 7  # of random words

ANGLE = (14.0, 35.0)  # full angle of the camera, in degrees
AMBIENT = (0.1, 0.45)
FILLED = 0.55  # how often there is a second lamp
FILL = (0.08, 0.35)  # its strength; the main lamp and the ambient light have 1 together
HEIGHT = (5.0, 45.0)  # of the main lamp above the horizon, in degrees
AXIS_FORWARD = (-0.06, 0.24)  # of the axis of turning, in heads from the ears to the face
AXIS_UP = (-0.3, 0.05)  # of the point that stays when the head nods, from the middle of the face


@dataclass(frozen=True)
class Studio:
    """What surrounds each person.

    Attributes:
        spread: Width of the camera's frame at a distance of one.
        ambient: Share of light that comes from everywhere.
        fill: Vector towards a second lamp in the camera's axes, as long as that is strong.
        lamp: Height of the main lamp above the horizon, in degrees.
        axis: Height and depth (up, forward) of the point about which the head turns and nods.
    """

    spread: Float64[Tensor, " people"]
    ambient: Float32[Tensor, " people"]
    fill: Float32[Tensor, "people 3"]
    lamp: Float32[Tensor, " people"]
    axis: Float32[Tensor, "people 2"]


def studio(identity: Int64[Tensor, " people"]) -> Studio:
    """The studio of each person, on the CPU.

    Example:
        >>> bool((studio(torch.arange(9)).ambient >= 0.1).all())
        True
    """
    u = torch.from_numpy(uniform(identity, stream=STREAM, count=9).T)

    def between(row: int, ends: tuple[float, float]) -> Float64[Tensor, " people"]:
        return ends[0] + (ends[1] - ends[0]) * u[row]

    angle = torch.deg2rad(between(0, ANGLE) / 2)
    strength = torch.where(u[2] < FILLED, between(3, FILL), 0.0)
    bearing, rise = (2 * u[4] - 1) * math.pi, between(5, (-0.5, 1.0))
    toward = torch.stack((bearing.sin(), rise, bearing.cos().clamp(min=-0.6)), 1)
    toward = toward / toward.square().sum(1, keepdim=True).sqrt()
    axis = torch.stack((between(7, AXIS_UP), between(8, AXIS_FORWARD)), 1)
    # On a grid, so that the last bit of a machine's tangent does not show.
    spread = (2 * angle.tan() * 2**30).round() * 2**-30
    return Studio(
        spread,
        between(1, AMBIENT).float(),
        ((strength[:, None] * toward * 2**20).round() * 2**-20).float(),
        between(6, HEIGHT).float(),
        axis.float(),
    )
