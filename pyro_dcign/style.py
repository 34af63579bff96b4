"""How figures look: colours, a blank sheet, labels of angles, saving."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pyro_dcign.code import INTRINSIC, FactorRange
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


ANGLES = frozenset({"azimuth", "elevation", "light", "orientation", "rotation", "angle"}) | {
    *("yaw", "pitch", "roll", "pan", "tilt")
}
"""Factors whose unit is the degree by convention, as is that of a full circle of 360."""


def value_label(name: str, limits: FactorRange, value: float) -> str:
    """A value of a factor as a label: degrees of an angle, else a number with no unit.

    It has the decimals that tell a hundredth of the factor's range, without trailing zeros.

    Example:
        >>> value_label("azimuth", FactorRange(-60.0, 60.0), -22.5)
        '−22.5°'
        >>> value_label("scale", FactorRange(0.75, 1.25), 0.8)
        '0.8'
        >>> value_label("x", FactorRange(-4e-4, 4e-4), -1.6e-4)
        '−0.00016'
    """
    if limits.period == 360 or (limits.period is None and name in ANGLES):
        return degrees(value)
    span = abs(limits.high - limits.low) or abs(value)
    decimals = max(0, 2 - math.floor(math.log10(span))) if span > 0 else 2
    text = f"{abs(value):.{min(decimals, 15)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"−{text}" if value < 0 and text.strip("0.") else text


def save(figure: Figure, path: Path, *, made_from: str = "") -> Path:
    """Write a figure as PNG, whole or not at all; ``made_from`` becomes the file's source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        said = {"Source": made_from} if made_from else None
        figure.savefig(temporary, format="png", dpi=150, metadata=said)
    return path
