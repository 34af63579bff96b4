"""The figure of a comparison: a panel a measure, a row a guide, intervals over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pyro_dcign.measures.compare import COLUMNS
from pyro_dcign.style import GREY, INK, STYLE, blank

ACROSS = 4


def comparison(rows: Sequence[Mapping[str, Any]], summary: Sequence[Mapping[str, Any]]) -> Figure:
    """Every seed as a dot, the mean and its 95 % interval as a bar, a panel for each measure."""
    names = [name for name in COLUMNS if any(row[name] is not None for row in summary)]
    down = -(-len(names) // ACROSS)
    labels = [f"{row['guide']} ({row['supervision']})" for row in summary]
    with mpl.rc_context(STYLE):
        figure = blank(2.3 * ACROSS + 1.9, (0.26 * len(summary) + 0.9) * down)
        axes = figure.subplots(down, ACROSS, squeeze=False, sharey=True).flatten()
        for ax, name in zip(axes, names, strict=False):
            heading, factor, _ = COLUMNS[name]
            for y, row in enumerate(summary):
                members = [r for r in rows if all(r[k] == row[k] for k in ("guide", "supervision"))]
                dots = [r[name] * factor for r in members if r[name] is not None]
                ax.scatter(dots, [y] * len(dots), s=10, color=GREY, zorder=2)
                if (found := row[name]) is None:
                    continue
                ax.scatter(found["value"] * factor, y, s=26, color=INK, marker="|", zorder=3)
                if found["low"] is not None:
                    ends = [found["low"] * factor, found["high"] * factor]
                    ax.plot(ends, [y, y], color=INK, lw=1.4)
            ax.set(title=heading, yticks=range(len(labels)), yticklabels=labels)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            sns.despine(ax=ax, left=True)
            ax.tick_params(axis="y", length=0)
        for ax in axes[len(names) :]:
            ax.set_visible(False)
        axes[0].invert_yaxis()
        figure.tight_layout()
    return figure
