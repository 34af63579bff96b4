"""Bringing 8-bit images to another size."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from pyro_dcign.images import Pixels


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
