"""Tiles of images with labels along both sides, and the look that all figures share."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from pyro_dcign.style import GREY, INK, blank

TILE = 0.72  # inches
GAP = 0.05

Tiles = Float[Tensor, "rows columns height width"]


def mosaic(
    tiles: Tiles,
    *,
    title: str,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    subtitle: str = "",
    breaks: Sequence[int] = (),
) -> Figure:
    """Grey images in rows and columns.

    Args:
        tiles: Intensities in [0, 1].
        title: In plain words.
        columns: Label above each column.
        rows: Label at the left of each row.
        subtitle: A second, lighter line under the title.
        breaks: Columns before which a wider gap sets the tiles apart.
    """
    count, across, high, wide = tiles.shape
    step = TILE * high / wide
    left = 0.2 + (0.078 * max((len(r) for r in rows), default=0))
    lines = max((text.count("\n") + 1 for text in columns), default=0)
    top = 0.42 + (0.2 if subtitle else 0) + 0.19 * lines
    offsets = [c * (TILE + GAP) + 0.12 * sum(b <= c for b in breaks) for c in range(across)]
    # A title needs room even over two columns.
    least = left + 0.085 * max(len(title) * 1.1, len(subtitle) * 0.85)
    width = max(left + offsets[-1] + TILE + 0.12, least)
    height = top + count * (step + GAP) + 0.08
    figure = blank(width, height)
    figure.text(0.2 / width, 1 - 0.12 / height, title, va="top", size=11, weight="bold", color=INK)
    if subtitle:
        figure.text(0.2 / width, 1 - 0.35 / height, subtitle, va="top", size=8.5, color=GREY)
    for row in range(count):
        low = height - top - row * (step + GAP) - step
        if rows:
            middle = (low + step / 2) / height
            figure.text(
                (left - 0.08) / width,
                middle,
                rows[row],
                ha="right",
                va="center",
                size=8.5,
                color=INK,
            )
        for column, offset in enumerate(offsets):
            where = ((left + offset) / width, low / height, TILE / width, step / height)
            axes = figure.add_axes(where)
            axes.imshow(tiles[row, column].numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
    for column, text in enumerate(columns):
        x = (left + offsets[column] + TILE / 2) / width
        figure.text(x, 1 - (top - 0.06) / height, text, ha="center", va="bottom", size=8, color=INK)
    return figure


def stack(rows: Sequence[Sequence[Tensor]]) -> Tiles:
    """Rows of (1, height, width) or (height, width) images as tiles."""
    return torch.stack([torch.stack([tile.squeeze() for tile in row]) for row in rows])
