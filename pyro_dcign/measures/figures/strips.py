"""Re-rendering: any picture in, a strip or an animation of new views out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.files import whole
from pyro_dcign.style import value_label

Views = Float[Tensor, "_ 1 height width"]
Sweeps = Mapping[str, tuple[Sequence[float], Views]]
"""Values of each factor and the view at each, intensities in [0, 1]."""

Ranges = Mapping[str, FactorRange]
"""Range of each factor, which says how its values are written."""


_TILE, _GAP, _TEXT = 128, 4, 14
_PAPER, _INK = 255, 40


def strip(original: Views, decoded: Views, sweeps: Sweeps, ranges: Ranges) -> Image.Image:
    """A row for each factor: the picture, its reconstruction, then the edited views, labelled."""
    longest = max(len(values) for values, _ in sweeps.values())
    width = (longest + 2) * (_TILE + _GAP) + 3 * _GAP
    row = _TILE + _TEXT + 2 * _GAP
    sheet = Image.new("L", (width, len(sweeps) * row + _GAP), _PAPER)
    for number, (factor, (values, views)) in enumerate(sweeps.items()):
        shown = (value_label(factor, ranges[factor], value) for value in values)
        labels = ["picture", "decoded", *shown]
        labels[2] = f"{factor} {labels[2]}"
        for column, (tile, label) in enumerate(
            zip([*original, *decoded, *views], labels, strict=True)
        ):
            x = _GAP + column * (_TILE + _GAP) + (2 * _GAP if column > 1 else 0)
            _place(sheet, tile, label, (x, _GAP + number * row))
    return sheet


def frames(original: Views, sweeps: Sweeps, ranges: Ranges) -> list[Image.Image]:
    """Frames of an animation: each factor there and back, beside the picture."""
    found = []
    for factor, (values, views) in sweeps.items():
        order = [*range(len(values)), *range(len(values) - 2, 0, -1)]
        for i in order:
            frame = Image.new("L", (2 * _TILE + 3 * _GAP, _TILE + _TEXT + 3 * _GAP), _PAPER)
            _place(frame, original[0], "picture", (_GAP, _GAP))
            label = f"{factor} {value_label(factor, ranges[factor], values[i])}"
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
