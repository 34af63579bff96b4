"""Opening a picture file: within limits that are checked before anything is decoded."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from pyro_dcign.errors import InputError, need_file, refuse

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

MAX_BYTES = 100 * 2**20
"""Largest picture file."""

MAX_TIFF = 32 * 2**20
"""Largest TIFF: a list in it takes 25 times its bytes in memory."""

MAX_PIXELS = 50_000_000
"""Most pixels of a picture."""


@contextmanager
def opened(path: Path, *, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """A picture for as long as the ``with`` block lasts; of an animation its first frame.

    What Pillow raises while the block decodes it becomes an InputError.

    Raises:
        InputError: No file, another format, damage, or more than 50 megapixels or 100 MB (of TIFF
            32).
    """
    need_file(path)
    with path.open("rb") as file:
        tiff = file.read(2) in (b"II", b"MM")
    most, kind = (MAX_TIFF, "TIFF") if tiff else (MAX_BYTES, "picture")
    if path.stat().st_size > most:
        found = f"{path.stat().st_size // 2**20} MB"
        raise refuse(path, f"a {kind} of up to {most // 2**20} MB", found, "save a smaller PNG")
    try:
        with warnings.catch_warnings(), _quiet_library() if tiff else nullcontext():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files; the limit is below
            with Image.open(path, formats=formats) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise refuse(
                        path,
                        "a picture of up to 50 megapixels",
                        f"{picture.width} by {picture.height}",
                        "shrink it",
                    )
                yield picture
    except InputError:
        raise
    except Exception as error:  # Pillow raises whatever its decoders stumble over
        remedy = f"save it again as one of {', '.join(formats)}"
        what = f"{type(error).__name__} {error}"
        raise refuse(path, "an undamaged picture", what, remedy) from None


@contextmanager
def _quiet_library() -> Iterator[None]:
    """libtiff writes its remarks on a damaged file to the process's own stderr."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709


_STRIP = 2**20  # pixels


def read_picture(path: Path, side: int) -> tuple[UInt8[Tensor, "side side"], bool]:
    """A picture as the networks see it, and whether it lost its colours on the way.

    Turned as its EXIF says, cropped to the middle square, put on black where it is transparent,
    grey by Rec. 709 luma and resized with antialiasing.

    Raises:
        InputError: No picture, a damaged one, or one of more than 50 megapixels or 100 MB.
    """
    with opened(path) as found:
        upright = ImageOps.exif_transpose(found)
        square = min(upright.size)
        left, top = (upright.width - square) // 2, (upright.height - square) // 2
        grey, colour = _grey(upright.crop((left, top, left + square, top + square)))
    small = Image.fromarray(grey).resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(small)), colour


def _grey(picture: Image.Image) -> tuple[NDArray[np.uint8], bool]:
    """Grey values and whether there were colours, in strips: numbers take 8 times the memory."""
    grey = np.empty((picture.height, picture.width), np.uint8)
    colour = False
    deep = picture.mode.startswith(("I", "F"))
    white = 65535.0 if deep and np.max(picture.getextrema()) > 255 else 255.0
    rows = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        if deep:
            values = np.nan_to_num(np.asarray(strip, dtype=np.float64)).clip(0, white)
            grey[top : top + rows] = (values / white * 255).round()
            continue
        rgba = np.asarray(strip.convert("RGBA"), dtype=np.float32)
        rgb = rgba[..., :3] * (rgba[..., 3:] / 255)
        colour = colour or bool((np.ptp(rgb, axis=-1) > 2).any())
        grey[top : top + rows] = (rgb @ LUMA.astype(np.float32)).round().clip(0, 255)
    return grey, colour
