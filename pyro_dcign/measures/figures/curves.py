"""Plots of numbers: inferred against true factors, and losses over training."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.errors import InputError, need_file
from pyro_dcign.files import parse_json
from pyro_dcign.measures.calibration import Calibration
from pyro_dcign.runs import Run, encode
from pyro_dcign.style import INK, STYLE, blank, palette, value_label

POINTS = 1500
_MAX_LINE = 65536
_MAX_NUMBER = 1e15


def readings(run: Run, calibration: Calibration, images: EvaluationSet) -> Figure:
    """The latent that carries each factor against the factor's true value (paper, figure 7).

    The line is the calibration, fitted on training images; the dots are unseen identities. A
    factor with several latents is shown as the value that its latents stand for.
    """
    names = [name for name in calibration.curves if name in images.factors]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:POINTS]
    codes = encode(run, images.pixels[order])
    colours = palette(tuple(run.factors))
    with mpl.rc_context(STYLE):
        figure = blank(3.1 * len(names) + 0.3, 3.5)
        axes = np.atleast_1d(figure.subplots(1, len(names), squeeze=True))
        for ax, name in zip(axes, names, strict=True):
            curve = calibration.curve(name)
            shown = FuncFormatter(
                lambda v, _, name=name: value_label(name, run.factors[name], float(v))
            )
            truth = images.factors[name][order].numpy()
            if len(curve.indices) == 1:
                read = codes[:, curve.indices[0]].numpy()
                label = f"latent z{curve.indices[0] + 1} (posterior mean)"
                ax.plot(curve.values, np.array(curve.codes)[:, 0], color=INK, lw=1.4, zorder=3)
            else:
                read = calibration.factor_values(name, codes).numpy()
                label = f"{name} read from its {len(curve.indices)} latents"
                ends = [truth.min(), truth.max()]
                ax.plot(ends, ends, color=INK, lw=1.4, zorder=3)
                ax.yaxis.set_major_formatter(shown)
            ax.scatter(truth, read, s=7, color=colours[name], alpha=0.35, linewidths=0, zorder=2)
            ax.set(title=name, xlabel=f"true {name}", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 3, 4, 5, 6, 9, 10]))
            ax.xaxis.set_major_formatter(shown)
            ax.yaxis.set_major_locator(MaxNLocator(5))
            sns.despine(ax=ax, offset=4, trim=False)
        figure.suptitle(
            "What the code says against the truth, on unseen identities",
            x=0.02, ha="left", size=11, weight="bold",
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0, 1, 0.98), w_pad=2)
    return figure


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``; a half-written last line is left out.

    Where a run was taken up again at an earlier step, later records replace the earlier ones.

    Raises:
        InputError: Lines that are no records.
    """
    need_file(path)
    records: list[dict[str, Any]] = []
    broken = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(iter(partial(file.readline, _MAX_LINE), ""), 1):
            if broken:  # and it is not the last
                raise InputError(f"{path}:{broken} is to be a training record; remove the line")
            record = _record(line)
            if record is None:
                broken = number
                continue
            while records and records[-1]["step"] >= record["step"]:
                records.pop()
            records.append(record)
    return records


def _record(line: str) -> dict[str, Any] | None:
    """The record of a line, or None where it is none."""
    try:
        found = parse_json(line)
        terms = list(found["train"].values())
        numbers = [found["step"], *found["test"].values(), *(n for t in terms for n in t.values())]
        whole = all({"reconstruction", "kl"} <= set(term) for term in terms)
        whole = whole and ("elbo" in found["test"] or not found["test"])
        whole = whole and all(abs(number) < _MAX_NUMBER for number in numbers)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if whole else None


def training_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Reconstruction and KL of an image by minibatch type, and the test ELBO, over training.

    Raises:
        InputError: No records.
    """
    if not records:
        raise InputError("training curves need 1 or more records, got none; train for some steps")
    fullest: Mapping[str, Any] = max((record["train"] for record in records), key=len, default={})
    types = list(fullest)
    colours = palette(types)
    terms = {"reconstruction": "Reconstruction", "kl": "KL to the prior"}
    with mpl.rc_context(STYLE):
        figure = blank(10.2, 3.3)
        axes = figure.subplots(1, 3)
        for ax, (term, title) in zip(axes, terms.items(), strict=False):
            for name in types:
                steps, values = _series(records, name, term)
                ax.plot(steps, values, color=colours[name], alpha=0.15, lw=0.8)
                smooth = _smooth(values)
                ax.plot(steps, smooth, color=colours[name], lw=1.5, label=name)
            _limit(ax, [_series(records, name, term)[1] for name in types])
            ax.set(title=f"{title}, training", xlabel="step", ylabel="nats an image")
        axes[0].legend(loc="upper right")
        tested = [(r["step"], r["test"]["elbo"]) for r in records if r["test"]]
        if tested:
            axes[2].plot(*zip(*tested, strict=True), color=INK, lw=1.5, marker="o", ms=3)
            _limit(axes[2], [np.array([elbo for _, elbo in tested])])
        axes[2].set(title="ELBO, unseen identities", xlabel="step", ylabel="nats an image")
        for ax in axes:
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            ax.yaxis.set_major_locator(MaxNLocator(5))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}".replace("-", "−")))
            sns.despine(ax=ax, offset=4)
        figure.tight_layout(w_pad=2)
    return figure


def _series(records: Sequence[Mapping[str, Any]], name: str, term: str) -> tuple[Any, Any]:
    found = [(r["step"], r["train"][name][term]) for r in records if name in r["train"]]
    steps, values = zip(*found, strict=True)
    return np.array(steps), np.array(values)


def _smooth(values: Any) -> Any:
    """Running mean over a fortieth of the records, shorter at both ends."""
    half = max(1, len(values) // 80)
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _limit(ax: Any, series: Sequence[Any]) -> None:
    """Leave the first, steep steps out of the picture."""
    values = np.concatenate([s[len(s) // 50 :] for s in series])
    low, high = np.percentile(values, [0.2, 99.5])
    margin = 0.05 * (high - low) or 1.0
    ax.set_ylim(low - margin, high + margin)
