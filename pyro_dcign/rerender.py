"""Re-rendering: any picture in, a strip or an animation of new views out."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from pyro_dcign.errors import InputError
from pyro_dcign.figures.mosaic import degrees
from pyro_dcign.scenes import FactorRange

Views = Float[Tensor, "_ 1 height width"]
Sweeps = Mapping[str, tuple[Sequence[float], Views]]
"""Values of each factor and the view at each, intensities in [0, 1]."""

MAX_PIXELS = 50_000_000
MAX_BYTES = 100 * 2**20
MAX_VIEWS = 64
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709

_TILE, _GAP, _TEXT = 128, 4, 14
_PAPER, _INK = 255, 40


def read_picture(path: Path, side: int) -> tuple[UInt8[Tensor, "side side"], bool]:
    """A picture as the networks see it, and whether it lost its colours on the way.

    Turned as its EXIF says, put on black where it is transparent, grey by Rec. 709 luma, cropped to
    the middle square and resized with antialiasing.

    Raises:
        InputError: No picture, a damaged one, or one of more than 50 megapixels or 100 MB.
    """
    if not path.is_file():
        raise InputError(f"{path} is to be a picture, but there is no such file; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is to be a picture of up to 100 MB, but is larger; shrink it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files; the limit is below
            with Image.open(path, formats=FORMATS) as found:
                if found.width * found.height > MAX_PIXELS:
                    raise InputError(
                        f"{path} is to have up to 50 megapixels, got {found.width} by "
                        f"{found.height}; shrink it"
                    )
                grey, colour = _grey(ImageOps.exif_transpose(found))
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
        raise InputError(
            f"{path} is to be a picture, but cannot be read as one; use one of {_list(FORMATS)}"
        ) from None
    except (SyntaxError, EOFError, MemoryError, OverflowError) as error:
        raise InputError(f"{path} is damaged: {error}; save the picture again") from None
    square = min(grey.shape)
    top, left = (grey.shape[0] - square) // 2, (grey.shape[1] - square) // 2
    middle = Image.fromarray(grey[top : top + square, left : left + square])
    small = middle.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(small)), colour


def _grey(picture: Image.Image) -> tuple[NDArray[np.uint8], bool]:
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return (values.clip(0, top) / top * 255).round().astype(np.uint8), False
    rgba = np.asarray(picture.convert("RGBA"), dtype=np.float32)
    rgb = rgba[..., :3] * (rgba[..., 3:] / 255)
    colour = bool((np.ptp(rgb, axis=-1) > 2).any())
    return (rgb @ LUMA.astype(np.float32)).round().clip(0, 255).astype(np.uint8), colour


def parse_sweep(text: str, factor: str, limits: FactorRange) -> list[float]:
    """Values of ``START:STOP:COUNT`` or of a list with commas, in degrees for angles.

    Raises:
        InputError: Not of that form, more than 64 values, or values that were not trained on.
    """
    try:
        if ":" in text:
            start, stop, count = text.split(":")
            if not 1 <= int(count) <= MAX_VIEWS:
                raise ValueError
            values = [float(v) for v in np.linspace(float(start), float(stop), int(count))]
        else:
            values = [float(part) for part in text.split(",")]
        if len(values) > MAX_VIEWS or not all(math.isfinite(v) for v in values):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(
            f"{factor} is START:STOP:COUNT or V,V,… with 1 to {MAX_VIEWS} numbers, got {text!r}; "
            "write e.g. -60:60:9"
        ) from None
    outside = [v for v in values if not limits.low - 1e-6 <= v <= limits.high + 1e-6]
    if outside and not limits.period:
        raise InputError(
            f"{factor} was trained from {limits.low:g} to {limits.high:g}, got {outside[0]:g}; "
            "stay inside"
        )
    return values


def strip(original: Views, decoded: Views, sweeps: Sweeps) -> Image.Image:
    """A row for each factor: the picture, its reconstruction, then the edited views, labelled."""
    longest = max(len(values) for values, _ in sweeps.values())
    width = (longest + 2) * (_TILE + _GAP) + 3 * _GAP
    row = _TILE + _TEXT + 2 * _GAP
    sheet = Image.new("L", (width, len(sweeps) * row + _GAP), _PAPER)
    for number, (factor, (values, views)) in enumerate(sweeps.items()):
        labels = ["picture", "decoded", *(degrees(value) for value in values)]
        labels[2] = f"{factor} {labels[2]}"
        for column, (tile, label) in enumerate(
            zip([*original, *decoded, *views], labels, strict=True)
        ):
            x = _GAP + column * (_TILE + _GAP) + (2 * _GAP if column > 1 else 0)
            _place(sheet, tile, label, (x, _GAP + number * row))
    return sheet


def frames(original: Views, sweeps: Sweeps) -> list[Image.Image]:
    """Frames of an animation: each factor there and back, beside the picture."""
    found = []
    for factor, (values, views) in sweeps.items():
        order = [*range(len(values)), *range(len(values) - 2, 0, -1)]
        for i in order:
            frame = Image.new("L", (2 * _TILE + 3 * _GAP, _TILE + _TEXT + 3 * _GAP), _PAPER)
            _place(frame, original[0], "picture", (_GAP, _GAP))
            label = f"{factor} {degrees(values[i])}"
            _place(frame, views[i], label, (_TILE + 2 * _GAP, _GAP))
            found.append(frame)
    return found


def _place(sheet: Image.Image, tile: Tensor, label: str, corner: tuple[int, int]) -> None:
    pixels = (tile.squeeze() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    large = Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
    sheet.paste(large, corner)
    where = (corner[0] + _TILE // 2, corner[1] + _TILE + _GAP // 2)
    label = label.replace("−", "-")  # Pillow's own font has no minus sign
    ImageDraw.Draw(sheet).text(
        where, label, fill=_INK, anchor="ma", font=ImageFont.load_default(size=12)
    )


def write_pictures(pictures: Sequence[Image.Image], path: Path) -> None:
    """Write one picture as PNG, or frames as an endless GIF, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix.lower() == ".gif":
            first, *rest = pictures
            first.save(
                partial, format="GIF", save_all=True, append_images=rest, duration=110, loop=0
            )
        else:
            pictures[0].save(partial, format="PNG")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def default_run() -> Path:
    """The run that ships with the package.

    Raises:
        InputError: None ships yet.
    """
    raise InputError(
        "no trained network ships with this version; fit one with `pyro-dcign fit` and name its "
        "directory with --run"
    )


def _list(words: Sequence[str]) -> str:
    return ", ".join(words)
