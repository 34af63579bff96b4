"""Figures of a check: k̂, ranks, the guide beside NUTS, and codes against the prior."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.stats import norm  # type: ignore[attr-defined]

from pyro_dcign.posterior import arviz_bridge
from pyro_dcign.posterior.ecdf import uniformity
from pyro_dcign.posterior.findings import Findings
from pyro_dcign.posterior.verdicts import FALSE_ALARMS
from pyro_dcign.style import GREY, INK, STYLE, blank, palette, save

LIMIT = "#b2182b"
TICKS = (-1, 0, 1, 3, 10, 30)


def write_check_figures(findings: Findings, folder: Path) -> list[Path]:
    """Write ``check-khat``, ``-sbc``, ``-nuts``, ``-loo-pit`` and ``-aggregate`` as PNG.

    A figure whose check was refused is left out.
    """
    makers = {
        "khat": khat,
        "sbc": sbc,
        "nuts": reference,
        "loo-pit": loo_pit,
        "aggregate": aggregate,
    }
    made = {name: make(findings) for name, make in makers.items()}
    return [save(f, folder / f"check-{name}.png") for name, f in made.items() if f is not None]


def _columns(findings: Findings, check: str) -> list[tuple[str, str, Any]]:
    found = []
    for factor in findings.factors(check):
        values = findings.arrays[f"{check}/{factor}"]
        for i in range(values.shape[-1]):
            label = factor if values.shape[-1] == 1 else f"{factor}[{i}]"
            found.append((factor, label, values[..., i]))
    return found


def khat(findings: Findings) -> Figure:
    """k̂ of each image, sorted: the whole code and the extrinsic latents."""
    with mpl.rc_context(STYLE):
        figure = blank(5.2, 3.2)
        ax = figure.subplots()
        looks = (("joint", GREY, "whole code"), ("extrinsic", INK, "extrinsic, given the rest"))
        for name, colour, label in looks:
            weights = findings.arrays[name]
            k = np.sort(np.minimum(arviz_bridge.pareto_k(weights), 30.0))
            ax.plot(np.arange(1, len(k) + 1) / len(k), k, color=colour, lw=1.6, label=label)
        limit = arviz_bridge.good_k(len(weights))
        ax.axhline(limit, color=LIMIT, lw=1, ls="--")
        ax.annotate(
            f"usable below {limit:.2f}",
            (1, limit),
            xytext=(0, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            size=8,
            color=LIMIT,
        )
        ax.set_yscale("symlog", linthresh=1)  # a bad guide's k̂ is in the tens
        ax.set(xlabel="share of images", ylabel="Pareto k̂", title="Importance weights, by image")
        ax.set_yticks([t for t in TICKS if ax.get_ylim()[0] <= t <= ax.get_ylim()[1]])
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
        ax.legend(loc="best")
        sns.despine(ax=ax, offset=4)
        figure.tight_layout()
    return figure


def sbc(findings: Findings) -> Figure | None:
    """Ranks' distribution minus the uniform one, in its simultaneous band."""
    columns = _columns(findings, "sbc")
    if not columns:
        return None
    colours = palette(findings.factors("sbc"))
    with mpl.rc_context(STYLE):
        figure = blank(2.7 * len(columns) + 0.4, 2.9)
        axes = np.atleast_1d(figure.subplots(1, len(columns), sharey=True))
        for ax, (factor, label, ranks) in zip(axes, columns, strict=True):
            found = uniformity(ranks.astype(np.float64), alpha=FALSE_ALARMS / len(columns))
            low, high = found.low - found.grid, found.high - found.grid
            ax.fill_between(found.grid, low, high, color=GREY, alpha=0.25, lw=0)
            ax.plot(found.grid, found.below - found.grid, color=colours[factor], lw=1.6)
            ax.set(title=label, xlabel="rank of the truth in the guide's draws")
            sns.despine(ax=ax, offset=4)
        axes[0].set_ylabel("ECDF − uniform")
        figure.tight_layout()
    return figure


def loo_pit(findings: Findings) -> Figure | None:
    """Where pixels lie among replicates that did not see them; flat is right."""
    if "loo_pit" not in findings.arrays:
        return None
    pit = findings.arrays["loo_pit"]
    with mpl.rc_context(STYLE):
        figure = blank(3.6, 2.9)
        ax = figure.subplots()
        ax.hist(pit.flatten(), 20, range=(0, 1), density=True, color=INK, alpha=0.5)
        ax.axhline(1, color=LIMIT, lw=1, ls="--")
        ax.set(
            xlabel="share of replicates below the pixel",
            yticks=[],
            title=f"LOO-PIT of {pit.size} pixels",
        )
        sns.despine(ax=ax, left=True)
        figure.tight_layout()
    return figure


def reference(findings: Findings) -> Figure | None:
    """The guide's draws of each extrinsic latent beside NUTS's, one row an image."""
    columns = _columns(findings, "nuts")
    if not columns:
        return None
    guides = {label: values for _, label, values in _columns(findings, "guide")}
    rows = len(columns[0][2])
    colours = palette(findings.factors("nuts"))
    with mpl.rc_context(STYLE):
        figure = blank(2.7 * len(columns) + 0.4, 1.9 * rows + 0.5)
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for c, (factor, label, chains) in enumerate(columns):
            for r in range(rows):
                ax, both = axes[r, c], (chains[r].reshape(-1), guides[label][r])
                looks = ((GREY, "NUTS"), (colours[factor], "guide"))
                edges = np.histogram_bin_edges(np.concatenate(both), 40)
                for values, (colour, name) in zip(both, looks, strict=True):
                    ax.hist(values, edges, density=True, color=colour, alpha=0.5, label=name)
                ax.set_yticks([])
                ax.set(title=label if r == 0 else "", ylabel=f"image {r + 1}" if c == 0 else "")
                sns.despine(ax=ax, left=True)
        axes[0, 0].legend()
        figure.tight_layout()
    return figure


def aggregate(findings: Findings) -> Figure | None:
    """One draw of each image's extrinsic latents, all images together, against the prior."""
    columns = _columns(findings, "aggregate")
    if not columns:
        return None
    colours = palette(findings.factors("aggregate"))
    grid = np.linspace(-4, 4, 200)
    with mpl.rc_context(STYLE):
        figure = blank(2.7 * len(columns) + 0.4, 2.7)
        axes = np.atleast_1d(figure.subplots(1, len(columns)))
        for ax, (factor, label, z) in zip(axes, columns, strict=True):
            ax.hist(z, 40, density=True, color=colours[factor], alpha=0.6)
            ax.plot(grid, norm.pdf(grid), color=INK, lw=1.4, label="prior")
            ax.set(title=label, yticks=[], xlabel="latent, all images")
            sns.despine(ax=ax, left=True)
        axes[0].legend()
        figure.tight_layout()
    return figure
