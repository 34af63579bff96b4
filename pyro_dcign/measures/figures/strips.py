"""Re-rendering: any picture in, a strip or an animation of new views out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from pyro_dcign.files.disk import whole
from pyro_dcign.errors import InputError
from pyro_dcign.measures.figures.mosaic import degrees
from pyro_dcign.files.picture import opened
from pyro_dcign.scenes import FactorRange

Views = Float[Tensor, "_ 1 height width"]
Sweeps = Mapping[str, tuple[Sequence[float], Views]]
"""Values of each factor and the view at each, intensities in [0, 1]."""

MAX_VIEWS = 64
LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709

_STRIP = 2**20  # pixels
_TILE, _GAP, _TEXT = 128, 4, 14
_PAPER, _INK = 255, 40


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
    with whole(path) as temporary:
        if path.suffix.lower() == ".gif":
            first, *rest = pictures
            first.save(
                temporary, format="GIF", save_all=True, append_images=rest, duration=110, loop=0
            )
        else:
            pictures[0].save(temporary, format="PNG")


def default_run() -> Path:
    """The network that ships with the package: heads at 64 pixels, see its model card."""
    return Path(__file__).with_name("pretrained") / "faces-small"
