"""Pictures in files: opened within limits, and read as grey in one way for the whole package.

Grey is the luma of ITU-R BT.601, as Pillow's ``convert("L")`` computes it: what the imported sets
were made with, and what a user gets who converts a picture before handing it over.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from pyro_dcign.errors import InputError, need_file, refuse
from pyro_dcign.files.photo import Crop, crop_of, faces

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


LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey value (ITU-R BT.601)."""

GROUND = 0
"""Grey value behind what is transparent: black, as behind the heads of the shipped network."""

RESAMPLING = Image.Resampling.BILINEAR
"""Pillow's filter for every picture: antialiased where it shrinks, and without ringing."""

READING = "BT.601 luma, transparent on black, upright by EXIF, antialiased bilinear"
"""How pictures are read, in words that a data set keeps."""

_STRIP = 2**20  # pixels
_SIXTEEN = ("I;16", "I;16L", "I;16B", "I;16N")


def read_picture(
    path: Path, side: int, crop: Crop | None = None
) -> tuple[UInt8[Tensor, "side side"], bool]:
    """A picture file as the networks see it, and whether it lost its colours on the way.

    Turned as its EXIF says, cropped (by default to the middle square), made grey
    (:func:`grey_picture`) and resized.

    Raises:
        InputError: No picture, a damaged one, or one of more than 50 megapixels or 100 MB.
    """
    with opened(path) as found:
        sixteen = _is_sixteen(found)
        upright = ImageOps.exif_transpose(found)
        square = middle(upright) if crop is None else crop.of(upright)
        grey, colour = grey_picture(square, sixteen=sixteen, name=path)
    return torch.from_numpy(np.array(squared(grey, side))), colour


def head_in(path: Path, *, face: int = 1) -> Crop:
    """The square around a head in a photograph; of several the largest, or the one of that number.

    Raises:
        InputError: No picture, no face in it, or not as many.
    """
    with opened(path) as found:
        there = faces(ImageOps.exif_transpose(found).convert("RGB"))
    if not 1 <= face <= len(there):
        n = len(there)
        what = "no face" if not n else "1 face" if n == 1 else f"{n} faces"
        remedy = "give --crop x,y,size, or a closer picture" if not n else f"give --face 1 to {n}"
        raise refuse(path, f"a photograph with {face} or more faces", what, remedy)
    return crop_of(there[face - 1])


def parse_crop(text: str) -> Crop:
    """A crop from ``x,y,size``: the middle and the side of a square, in pixels.

    Raises:
        InputError: Other text.

    Example:
        >>> parse_crop("120,80,200").size
        200.0
    """
    try:
        x, y, size = (float(part) for part in text.split(","))
    except ValueError:
        size = -1.0
    if not 1 <= size <= 1e5 or not max(abs(x), abs(y)) <= 1e5:
        raise InputError(f"a crop is x,y,size in pixels, got {text!r}; write e.g. 320,240,200")
    return Crop(x, y, size)


def is_photograph(path: Path) -> bool:
    """Whether a picture has colours or is not square: no render that a network was trained on."""
    with opened(path) as found:
        if found.width != found.height:
            return True
        _, colour = grey_picture(found, sixteen=_is_sixteen(found), name=path)
        return colour


def read_grey(path: Path, *, formats: tuple[str, ...] = FORMATS) -> UInt8[np.ndarray, "1 _ _"]:
    """A picture file as grey in its own size, upright: (1, height, width).

    Raises:
        InputError: As :func:`read_picture`.
    """
    with opened(path, formats=formats) as found:
        sixteen = _is_sixteen(found)
        grey, _ = grey_picture(ImageOps.exif_transpose(found), sixteen=sixteen, name=path)
        return np.array(grey)[None]


def _is_sixteen(picture: Image.Image) -> bool:
    """Whether grey values are 16 bits deep; some versions of Pillow give those of a PNG 32."""
    return picture.mode in _SIXTEEN or (picture.mode == "I" and picture.format in ("PNG", "PPM"))


def middle(picture: Image.Image) -> Image.Image:
    """The largest square in the middle of a picture."""
    square = min(picture.size)
    left, top = (picture.width - square) // 2, (picture.height - square) // 2
    return picture.crop((left, top, left + square, top + square))


def squared(grey: Image.Image, side: int) -> Image.Image:
    """The middle square of a grey picture at ``side`` x ``side`` pixels."""
    square = grey if grey.width == grey.height else middle(grey)
    return square if square.width == side else square.resize((side, side), RESAMPLING)


def grey_picture(
    picture: Image.Image, *, sixteen: bool = False, name: Path = Path("picture")
) -> tuple[Image.Image, bool]:
    """A picture as 8-bit grey, and whether it had colours.

    Transparent parts lie on :data:`GROUND`; 16 bits are scaled to 8; floats are intensities in
    [0, 1]. Colours are converted in strips, since RGBA takes four times the memory of grey.

    Args:
        picture: Of any of Pillow's modes.
        sixteen: Whether values of 32 bits are of a 16-bit file.
        name: Of the picture, for an error.

    Raises:
        InputError: 32-bit integers of unknown scale, floats outside [0, 1], or a mode that Pillow
            does not convert.
    """
    if picture.mode == "L" and "transparency" not in picture.info:
        return picture, False
    deep = picture.mode in (*_SIXTEEN, "I", "F")
    if picture.mode == "I" and not sixteen:
        raise refuse(name, "8 or 16 bits a channel", "32", "save it as an 8-bit PNG")
    clear = picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info
    grey, colour = Image.new("L", picture.size, GROUND), False
    rows = max(1, _STRIP // max(1, picture.width))
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        if deep:
            grey.paste(_scaled(strip, name), (0, top))
            continue
        try:
            seen = strip.convert("RGBA" if clear else "RGB")
        except ValueError as error:
            raise refuse(name, "a picture in grey or RGB", error, "convert it first") from None
        grey.paste(seen.convert("L"), (0, top), seen.getchannel("A") if clear else None)
        colour = colour or _has_colours(np.asarray(seen))
    return grey, colour


def _scaled(strip: Image.Image, name: Path) -> Image.Image:
    """Values of 16 bits, or floats in [0, 1], in 8 bits."""
    values = np.asarray(strip, dtype=np.float32)
    white = 1.0 if strip.mode == "F" else 65535.0
    if not ((values >= 0) & (values <= white)).all():
        what = "floats in [0, 1]" if strip.mode == "F" else "values of 16 bits"
        raise refuse(name, what, "others", "scale it first")
    return Image.fromarray((values / white * 255).round().astype(np.uint8))


def _has_colours(pixels: UInt8[np.ndarray, "height width channels"]) -> bool:
    rgb = pixels[..., :3]
    spread = rgb.max(-1) - rgb.min(-1)
    if pixels.shape[-1] == 4:
        return bool((spread.astype(np.uint16) * pixels[..., 3] > 2 * 255).any())
    return bool((spread > 2).any())
