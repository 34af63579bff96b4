"""Tiles of images with labels along both sides, and the look that all figures share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seaborn as sns
import torch
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from pyro_dcign.code import INTRINSIC
from pyro_dcign.files.disk import whole

INK = "#22303c"
GREY = "#8a949e"
STYLE: Any = {
    **sns.axes_style("ticks"),
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "font.size": 9,
}
TILE = 0.72  # inches
GAP = 0.05

Tiles = Float[Tensor, "rows columns height width"]


def palette(factors: Sequence[str]) -> Mapping[str, Any]:
    """A colour for each factor, the same in every figure; intrinsic is grey."""
    extrinsic = [name for name in factors if name != INTRINSIC]
    colours = dict(zip(extrinsic, sns.color_palette("colorblind", len(extrinsic)), strict=True))
    return {**colours, INTRINSIC: GREY}


def blank(width: float, height: float) -> Figure:
    """A figure of so many inches, drawn by Agg and known to nothing else."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


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


def degrees(value: float) -> str:
    """An angle as a label: a true minus sign, no decimals that say nothing."""
    text = f"{abs(value):.0f}" if abs(value - round(value)) < 0.05 else f"{abs(value):.1f}"
    return f"−{text}°" if value < 0 and text != "0" else f"{text}°"


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path


def stack(rows: Sequence[Sequence[Tensor]]) -> Tiles:
    """Rows of (1, height, width) or (height, width) images as tiles."""
    return torch.stack([torch.stack([tile.squeeze() for tile in row]) for row in rows])
