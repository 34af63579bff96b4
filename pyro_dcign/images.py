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


def shifted(pixels: Pixels, share: float, *, seed: int) -> Pixels:
    """Images each moved by up to that share of its side, across and down; edges are repeated.

    Example:
        >>> picture = torch.tensor([[[0, 1], [2, 3]]], dtype=torch.uint8)
        >>> shifted(picture, 0.0, seed=0).tolist()
        [[[0, 1], [2, 3]]]
    """
    generator = torch.Generator().manual_seed(seed)
    images, height, width = pixels.shape
    most = round(share * min(height, width))
    rows, columns = (
        (torch.arange(side) + torch.randint(-most, most + 1, (images, 1), generator=generator))
        .clamp(0, side - 1)
        .to(pixels.device)
        for side in (height, width)
    )
    each = torch.arange(images, device=pixels.device)[:, None, None]
    moved: Pixels = pixels[each, rows[:, :, None], columns[:, None, :]]
    return moved
