"""Looks: hair, beard, glasses and clothes of each person, drawn from the identity."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from pyro_dcign.scenes.albedo import complexion
from pyro_dcign.scenes.identity import uniform

STREAM = 6  # of random words

STYLES = {"bald": 0.06, "balding": 0.12, "short": 0.34, "full": 0.22, "long": 0.26}
"""How often each style of hair comes."""

COLLARS = {"cut": 0.18, "crew": 0.3, "deep": 0.14, "high": 0.13, "folded": 0.25}
"""How often the neck ends in a cut, or in a garment with such a collar."""

GLASSES = 0.24
"""How often a person wears glasses."""

TONES = 25
"""Rows of `Looks.tones`: those of `albedo.complexion`, then those of `paint.person`."""


@dataclass(frozen=True)
class Looks:
    """Numbers of each person's looks.

    Attributes:
        tones: What the albedo reads.
        curtain: Whether hair hangs down, 0 or 1; how far (height of its end), how far towards the
            face (degrees from the back), its width and wave, in that order.
        collar: Number of the collar in `COLLARS`; breadth, slope and thickness, in that order.
        glasses: Whether there are any, 0 or 1; half width, half height, squareness, thickness of
            the rims and their height from the eyes, in that order.
    """

    tones: Float32[Tensor, "tones people"]
    curtain: Float32[Tensor, "5 people"]
    collar: Float32[Tensor, "4 people"]
    glasses: Float32[Tensor, "6 people"]


def looks(identity: Int64[Tensor, " people"]) -> Looks:
    """The looks of each person, on the CPU.

    Example:
        >>> looks(torch.arange(5)).tones.shape
        torch.Size([25, 5])
    """
    u = uniform(identity, stream=STREAM, count=48).T

    def between(row: int, low: float, high: float) -> Float64[ndarray, " people"]:
        return np.asarray(low + (high - low) * u[row])

    def pick(row: int, shares: dict[str, float]) -> Int64[ndarray, " people"]:
        edges = np.cumsum(list(shares.values()))[:-1]
        return np.asarray(np.searchsorted(edges, u[row], side="right"))

    tones = complexion(identity).numpy().astype(np.float64)
    bald, balding, short, full, long = (pick(0, STYLES) == k for k in range(5))
    skin = tones[0]
    blond, grey = (u[1] < 0.25) & (skin > 0.4), u[2] < 0.14
    hair = np.where(grey, between(3, 0.2, 0.6), between(3, 0.02, 0.09))
    tones[1] = np.where(blond, between(4, 0.12, 0.42), hair)
    tones[2] = np.where(bald, 0.0, np.where(short & (u[5] < 0.3), between(6, 0.5, 0.85), 0.97))
    high, fringe = between(7, 0.24, 0.33), between(7, 0.14, 0.24)
    tones[3] = np.where(balding, 0.4, np.where((long | full) & (u[8] < 0.45), fringe, high))
    tones[4] = np.where(long | balding, 0.0, np.where(u[9] < 0.5, between(10, 0.02, 0.09), 0.0))
    tones[5] = np.where((tones[3] > 0.24) & (u[11] < 0.3), between(12, 0.01, 0.05), 0.0)
    tones[6] = np.where(long, -0.1, between(13, -0.16, 0.06))
    beard = np.where(u[14] < 0.3, between(15, 0.75, 0.97), between(15, 0.1, 0.5))
    tones[7] = np.where(u[16] < np.where(long, 0.12, 0.5), beard, 0.0)
    volume = np.select(
        [bald, balding, short, full], [0.0 * skin, between(17, 0.0, 0.03), between(17, 0.0, 0.05),
         between(17, 0.05, 0.12)], between(17, 0.03, 0.09),
    )  # fmt: skip
    tones[17] = volume
    extra = (
        np.where(balding, between(18, 0.75, 1.0), 0.0),  # how bare the crown is
        0.02 + 0.73 * u[19] ** 1.8,  # cloth
        np.where(u[20] < 0.25, between(21, 0.2, 0.7), 0.0),  # its stripes
        between(22, 18.0, 60.0),  # stripes in a head's height
        np.where(u[23] < 0.7, between(24, 0.015, 0.06), between(24, 0.1, 0.5)),  # frame of glasses
        between(25, 0.0, 0.45),  # waves of the hair's surface
        (u[26] < 0.5) * 1.0,  # stripes lie level, or run down
    )
    curtain = (
        long * 1.0,
        between(27, -0.9, -0.4),
        between(28, 112.0, 134.0),
        between(29, 0.98, 1.14),
        between(30, 0.0, 0.03),
    )
    collar = (pick(31, COLLARS), between(32, 0.88, 1.1), between(33, 0.85, 1.15),
              between(34, 0.016, 0.035))  # fmt: skip
    glasses = (
        (u[35] < GLASSES) * 1.0,
        between(36, 0.104, 0.126),
        between(37, 0.062, 0.098),
        between(38, 2.0, 4.5),
        np.where(u[39] < 0.45, between(40, 0.0055, 0.0075), between(40, 0.010, 0.016)),
        between(41, -0.035, -0.005),
    )
    rows = [np.stack([*tones, *extra]), np.stack(curtain), np.stack(collar), np.stack(glasses)]
    return Looks(*(torch.from_numpy(row).float() for row in rows))
