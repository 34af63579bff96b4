"""Grey images: as the networks see them, as disks store them, and from what people have."""

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from pyro_dcign.errors import InputError
from pyro_dcign.files import grey_picture, read_grey, read_picture, squared

Images = Float[Tensor, "images 1 height width"]
"""Grey images with intensities in [0, 1], as the networks see them."""

Pixels = UInt8[Tensor, "images height width"]
"""Grey images in 8 bits, as scenes render and disks store them."""

Pictures: TypeAlias = Any
"""Pictures as people have them: whatever :func:`pixels_of` takes."""

_LEAST = 8
"""Smallest height and width, so that (height, width, 4) is not taken for ``height`` images."""


def intensities(pixels: UInt8[Tensor, "*images height width"]) -> Float[Tensor, "..."]:
    """8-bit grey images as intensities in [0, 1], with a channel axis before height and width."""
    return pixels.unsqueeze(-3) / 255


def fingerprints(pixels: Pixels) -> Int64[Tensor, " images"]:
    """A number for each image that equal images share and, all but surely, no others.

    Eight bytes at a time, times odd numbers that are always the same, summed modulo 2**64.

    Example:
        >>> pair = torch.zeros(2, 4, 4, dtype=torch.uint8)
        >>> pair[1, 3, 3] = 1
        >>> first, second = fingerprints(pair)
        >>> bool(first == second)
        False
    """
    flat = pixels.flatten(1).numpy()
    words = -(-flat.shape[1] // 8)
    odd = np.random.Generator(np.random.PCG64(0)).integers(
        0, 2**64, words, dtype=np.uint64, endpoint=False
    ) | np.uint64(1)
    found = np.empty(len(flat), np.uint64)
    padded = np.zeros((min(len(flat), _AT_ONCE), 8 * words), np.uint8)
    for start in range(0, len(flat), _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        padded[: len(part), : flat.shape[1]] = part
        found[start : start + len(part)] = (padded[: len(part)].view("<u8") * odd).sum(1)
    return torch.from_numpy(found.view(np.int64))


_AT_ONCE = 512


def resized(pixels: Pixels, side: int) -> UInt8[Tensor, "images {side} {side}"]:
    """Images of ``side`` x ``side`` pixels: bilinear, antialiased where they shrink.

    Of images that are not square the middle is kept.
    """
    if pixels.shape[1:] == (side, side):
        return pixels
    made = np.empty((len(pixels), side, side), np.uint8)
    for row, image in zip(made, pixels.numpy(), strict=True):
        row[:] = np.asarray(squared(Image.fromarray(image), side))
    return torch.from_numpy(made)


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


def pixels_of(pictures: Pictures, side: int | None = None) -> Pixels:
    """Pictures as people have them, as 8-bit grey squares.

    Taken are the path of a picture file, a PIL image, and a NumPy array or torch tensor, each
    alone or in lists. An array is uint8, or float with intensities in [0, 1], of the shape (H, W),
    (H, W, 3), (n, H, W), (n, 1, H, W) or (n, H, W, 3). Colours become grey by BT.601 luma, the
    middle square is taken and resized with antialiasing, and intensities are rounded to 8 bits, as
    in the images that networks are trained on.

    Args:
        pictures: One or many.
        side: Height and width of the result; by default that of the (single) size they have.

    Raises:
        InputError: Nothing, or anything else than the above.

    Example:
        >>> half = np.full((20, 30), 128, np.uint8)
        >>> pixels_of([half, half / 255, torch.from_numpy(half)], 10).shape
        torch.Size([3, 10, 10])
        >>> pixels_of(half * 1.0, 10)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        pyro_dcign.errors.InputError: pictures are to be floats in [0, 1], got 128 to 128; ...
    """
    found = _pixels(pictures, side)
    if not found:
        raise InputError("pictures are to be 1 or more, got none; give some")
    if len({part.shape[1:] for part in found}) > 1:
        sizes = sorted({part.shape[-1] for part in found})
        raise InputError(f"pictures are to be of one size, got sides {sizes}; name a side")
    return torch.cat(found)


def _pixels(pictures: Any, side: int | None) -> list[Pixels]:
    if isinstance(pictures, str | os.PathLike):
        path = Path(pictures)
        if side is not None:
            return [read_picture(path, side)[0].unsqueeze(0)]
        grey = torch.from_numpy(np.array(read_grey(path)))
        return [resized(grey, min(grey.shape[1:]))]
    if isinstance(pictures, Image.Image):
        return [_grey(pictures, side)]
    if isinstance(pictures, list | tuple):
        return [part for picture in pictures for part in _pixels(picture, side)]
    if isinstance(pictures, Tensor):
        tensor = pictures.detach().cpu()
        pictures = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if not isinstance(pictures, np.ndarray):
        raise InputError(
            "a picture is a path, a PIL image, a NumPy array or a torch tensor, got "
            f"{type(pictures).__name__}; convert it"
        )
    return _of_array(pictures, side)


def _of_array(array: NDArray[Any], side: int | None) -> list[Pixels]:
    colour = array.ndim > 2 and array.shape[-1] == 3
    if array.ndim == 2 or (array.ndim == 3 and colour):
        array = array[None]
    elif array.ndim == 4 and array.shape[1] == 1 and not colour:
        array = array[:, 0]
    if array.ndim != (4 if colour else 3):
        raise InputError(
            "an array of pictures is (H, W), (H, W, 3), (n, H, W), (n, 1, H, W) or (n, H, W, 3), "
            f"got {tuple(array.shape)}; change its shape"
        )
    if min(array.shape[1:3]) < _LEAST or not len(array):
        raise InputError(
            f"an array of pictures is 1 or more of {_LEAST} or more pixels a side, got "
            f"{tuple(array.shape)}; change its shape"
        )
    images = _eight_bits(array)
    if colour:
        return [_grey(Image.fromarray(image), side) for image in images]
    pixels = torch.from_numpy(np.array(images))
    return [resized(pixels, side or min(pixels.shape[1:]))]


def _eight_bits(array: NDArray[Any]) -> UInt8[np.ndarray, "..."]:
    """Intensities rounded to 8 bits; uint8 as it is."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise InputError(
            f"pictures are to be uint8, or floats in [0, 1], got {array.dtype}; convert them"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        found = "NaN" if np.isnan(low) or np.isnan(high) else f"{low:g} to {high:g}"
        raise InputError(
            f"pictures are to be floats in [0, 1], got {found}; divide by 255, or pass uint8"
        )
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def _grey(picture: Image.Image, side: int | None) -> UInt8[Tensor, "1 _ _"]:
    try:
        # Before EXIF is applied: a transposed picture has lost its file's format.
        sixteen = picture.mode == "I" and picture.format in ("PNG", "PPM")
        grey, _ = grey_picture(ImageOps.exif_transpose(picture), sixteen=sixteen)
    except (OSError, SyntaxError) as error:  # Pillow reads a file when it is first needed
        raise InputError(f"a PIL image is to be undamaged, got {error}; open it again") from None
    return torch.from_numpy(np.array(squared(grey, side or min(grey.size)))).unsqueeze(0)
