"""Did training end too early? The test ELBO along the steps, a line for each run."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from pyro_dcign.style import STYLE, blank

LAST = 0.2  # share of the steps that counts as the end


def late_gain(curve: list[list[float]]) -> float | None:
    """Nats that the test ELBO gained over the last fifth of the steps."""
    early = [elbo for step, elbo in curve if step <= (1 - LAST) * curve[-1][0]]
    return curve[-1][1] - early[-1] if early else None


def learning(runs: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Test ELBO of an image against steps; a colour for each row, a panel for each likelihood."""
    rows = list(dict.fromkeys(run["row"] for run in runs.values()))
    colours = dict(zip(rows, sns.color_palette("colorblind", len(rows)), strict=True))
    kinds = list(dict.fromkeys(run["settings"]["likelihood"] for run in runs.values()))
    with mpl.rc_context(STYLE):
        figure = blank(1.2 + 4.6 * len(kinds), 3.4)
        for ax, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
            _panel(ax, [r for r in runs.values() if r["settings"]["likelihood"] == kind], colours)
            ax.set_title(f"Test ELBO, nats an image, {kind} pixels")
        figure.tight_layout(w_pad=3)
    return figure


def _panel(ax: Any, runs: Sequence[Mapping[str, Any]], colours: Mapping[str, Any]) -> None:
    named: set[str] = set()
    elbos = []
    for run in runs:
        steps, elbo = zip(*run["test_elbo"], strict=True)
        label = None if run["row"] in named else run["row"]
        named.add(run["row"])
        ax.plot(steps, elbo, color=colours[run["row"]], lw=1.2, alpha=0.8, label=label)
        elbos += elbo[len(elbo) // 10 :]  # the first steps would flatten the rest
    ax.set(xlabel="step")
    ax.set_ylim(min(elbos), max(elbos) + 0.05 * (max(elbos) - min(elbos) + 1))
    ax.legend()
    sns.despine(ax=ax, offset=4)
