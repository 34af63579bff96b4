"""Grey images: as the networks see them, as disks store them, and brought to another size."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Images = Float[Tensor, "images 1 height width"]
"""Grey images with intensities in [0, 1], as the networks see them."""

Pixels = UInt8[Tensor, "images height width"]
"""Grey images in 8 bits, as scenes render and disks store them."""


def intensities(pixels: UInt8[Tensor, "*images height width"]) -> Float[Tensor, "..."]:
    """8-bit grey images as intensities in [0, 1], with a channel axis before height and width."""
    return pixels.unsqueeze(-3) / 255


def resized(pixels: Pixels, side: int) -> UInt8[Tensor, "images {side} {side}"]:
    """Images of ``side`` x ``side`` pixels: bilinear, antialiased where they shrink.

    Of images that are not square the middle is kept.
    """
    height, width = pixels.shape[1:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    pixels = pixels[:, top : top + short, left : left + short]
    if short == side:
        return pixels
    parts = [
        torch.nn.functional.interpolate(
            part.unsqueeze(1).float(),
            (side, side),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        .squeeze(1)
        .round()
        .clamp(0, 255)
        .to(torch.uint8)
        for part in pixels.split(1024)
    ]
    return torch.cat(parts)
