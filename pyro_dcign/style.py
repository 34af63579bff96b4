"""How figures look: colours, a blank sheet, labels of angles, saving."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pyro_dcign.code import INTRINSIC
from pyro_dcign.files import whole

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
