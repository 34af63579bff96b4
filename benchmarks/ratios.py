"""How many times ours each rival of a benchmark takes, as bars."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from pyro_dcign.style import INK, STYLE, blank


def ratios(results: Sequence[dict[str, Any]]) -> Figure:
    """One panel for each number of images in a step; a bar is labelled with its ratio and time."""
    with mpl.rc_context(STYLE):
        figure = blank(3.6 * len(results) + 1.6, 2.6)
        panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
        for ax, result in zip(panels, results, strict=True):
            rivals = result["rivals"]
            names = list(rivals)[::-1]
            times = [rivals[name]["times_ours"] for name in names]
            bars = ax.barh(names, times, color=INK, alpha=0.6, height=0.6)
            bars[names.index("ours")].set_alpha(1.0)
            for y, (name, value) in enumerate(zip(names, times, strict=True)):
                ax.text(
                    value, y, f"  {value:.2f}   {rivals[name]['ms']:.3g} ms", va="center", size=8
                )
            ax.set(title=f"{result['images']} images a step", xlabel="time ÷ ours")
            ax.set_xlim(0, 1.5 * max(times))
            ax.tick_params(axis="y", length=0)
            sns.despine(ax=ax, left=True)
        figure.tight_layout(w_pad=2)
    return figure


def draw_ratios(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Write :func:`ratios` into a file; its ending chooses the format."""
    ratios(results).savefig(path, dpi=200)
