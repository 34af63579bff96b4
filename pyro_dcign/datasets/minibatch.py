"""Minibatches of scenes in which some factors vary and all others are held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from pyro_dcign.images import Pixels

MINIBATCH = 20
"""Images in a minibatch (paper, section 3.2)."""


@dataclass(frozen=True)
class Minibatch:
    """Images of scenes that differ in some factors only.

    Attributes:
        pixels: 8-bit grey images.
        varying: Type of the minibatch: the name of the set of factors that change over it, see
            :func:`pyro_dcign.code.type_factors`.
        factors: True value of each extrinsic factor for each image; angles in degrees.
        identity: Who is shown; equal numbers are the same head or chair.
    """

    pixels: Pixels
    varying: str
    factors: Mapping[str, Float32[Tensor, " images"]]
    identity: Int64[Tensor, " images"]

    def __len__(self) -> int:
        return len(self.pixels)


class Block(NamedTuple):
    """Minibatches of one type, stacked.

    Attributes:
        pixels: 8-bit grey images, (M, n, H, W).
        factors: True extrinsic factors, (M, n, F), in the order of the code; degrees for angles.
        identity: Who is shown, (M, n).
    """

    pixels: UInt8[Tensor, "minibatches images height width"]
    factors: Float32[Tensor, "minibatches images factors"]
    identity: Int64[Tensor, "minibatches images"]
