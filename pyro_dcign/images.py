"""Minibatches of scenes in which one factor of variation changes and all others are held."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

Images = Float[Tensor, "images 1 height width"]
"""Grey images with intensities in [0, 1], as the networks see them."""

Pixels = UInt8[Tensor, "images height width"]
"""Grey images in 8 bits, as scenes render and disks store them."""

MINIBATCH = 20
"""Images in a minibatch (paper, section 3.2)."""


@dataclass(frozen=True)
class Minibatch:
    """Images of scenes that differ in one factor only.

    Attributes:
        pixels: 8-bit grey images.
        varying: Name of the factor that changes over the minibatch.
        factors: True value of each extrinsic factor for each image; angles in degrees.
        identity: Who is shown; equal numbers are the same head or chair.
    """

    pixels: Pixels
    varying: str
    factors: Mapping[str, Float32[Tensor, " images"]]
    identity: Int64[Tensor, " images"]

    def __len__(self) -> int:
        return len(self.pixels)


def intensities(pixels: UInt8[Tensor, "*images height width"]) -> Float[Tensor, "..."]:
    """8-bit grey images as intensities in [0, 1], with a channel axis before height and width."""
    return pixels.unsqueeze(-3) / 255
