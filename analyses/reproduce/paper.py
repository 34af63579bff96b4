"""The paper's figures: one head under every knob, and chairs that turn well or badly."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from torch import Tensor

from pyro_dcign.datasets.labelled import EvaluationSet
from pyro_dcign.images import intensities
from pyro_dcign.measures.calibration import Calibration
from pyro_dcign.measures.figures.mosaic import mosaic, stack
from pyro_dcign.measures.figures.pictures import central, distinct, sweep, sweep_values
from pyro_dcign.runs.codes import decode, encode
from pyro_dcign.runs.run import Run
from pyro_dcign.style import degrees


def manipulations(
    run: Run, calibration: Calibration, images: EvaluationSet, *, count: int = 9
) -> Figure:
    """One unseen head under every knob, a row for each factor (paper, figures 4 and 5)."""
    pixels = images.pixels[distinct(images, central(images))[0]]
    return under_every_knob(run, calibration, pixels, "One head, every knob", count=count)


def under_every_knob(
    run: Run, calibration: Calibration, pixels: Tensor, title: str, *, count: int = 9
) -> Figure:
    """A picture (side, side), what it decodes to, and each factor from end to end in a row."""
    shown = [intensities(pixels), decode(run, encode(run, pixels.unsqueeze(0)))]
    rows, names = [], []
    for factor in calibration.curves:
        values = sweep_values(run.factors[factor], count)
        turned = sweep(run, calibration, pixels, factor, torch.tensor(values))
        rows.append([*shown, *turned])
        names.append(f"{factor}\n{degrees(values[0])} to {degrees(values[-1])}")
    return mosaic(
        stack(rows),
        title=title,
        subtitle="never trained on; in each row only the latents of that factor change",
        rows=names,
        columns=("picture", "decoded"),
        breaks=(1, 2),
    )


def edit_errors(
    run: Run, calibration: Calibration, images: EvaluationSet, factor: str, *, cap: int = 2000
) -> Mapping[int, float]:
    """Mean squared error of an identity's edited images against its true ones, best first."""
    first, second = images.pairs(factor, cap=cap)
    codes = encode(run, images.pixels[first])
    edited = decode(run, calibration.edit(codes, factor, images.factors[factor][second]))
    errors = (edited - intensities(images.pixels[second])).square().mean((1, 2, 3))
    who = images.identity[first]
    means = {int(one): errors[who == one].mean().item() for one in who.unique()}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def rotations(
    run: Run,
    calibration: Calibration,
    images: EvaluationSet,
    errors: Mapping[int, float],
    identities: Sequence[int],
    *,
    title: str,
    factor: str = "azimuth",
    count: int = 10,
) -> Figure:
    """Things turned full circle, a row each, with the mean error of its edits (paper, 8 and 9).

    Args:
        run: With trained networks.
        calibration: The run's.
        images: Of things never trained on.
        errors: From :func:`edit_errors`.
        identities: Which of them to show, in this order.
        title: In plain words.
        factor: Which knob turns them.
        count: Views in a row.
    """
    values = sweep_values(run.factors[factor], count)
    rows = []
    for who in identities:
        pixels = images.pixels[_shown(images, who)]
        turned = sweep(run, calibration, pixels, factor, torch.tensor(values))
        rows.append([intensities(pixels), decode(run, encode(run, pixels.unsqueeze(0))), *turned])
    return mosaic(
        stack(rows),
        title=title,
        subtitle="never trained on; at the left the mean squared error of its edits, 1e-4",
        rows=[f"{errors[who] * 1e4:.1f}" for who in identities],
        columns=("picture", "decoded", *(degrees(value) for value in values)),
        breaks=(1, 2),
    )


def elsewhere(
    run: Run, calibration: Calibration, pictures: Mapping[str, Tensor], *, views: int = 5
) -> Figure:
    """Pictures that the network was not made for: what it decodes and how it turns and lights them.

    Args:
        run: With trained networks.
        calibration: The run's.
        pictures: By name, (side, side) each.
        views: Views of each factor.
    """
    columns, breaks, values = ["picture", "decoded"], [1, 2], {}
    for factor in calibration.curves:
        values[factor] = sweep_values(run.factors[factor], views)
        labels = [degrees(value) for value in values[factor]]
        columns += [f"{factor}\n{labels[0]}", *(f"\n{label}" for label in labels[1:])]
        breaks.append(len(columns))
    rows = []
    for pixels in pictures.values():
        row = [intensities(pixels), decode(run, encode(run, pixels.unsqueeze(0)))]
        for factor, wanted in values.items():
            row += list(sweep(run, calibration, pixels, factor, torch.tensor(wanted)))
        rows.append(row)
    return mosaic(
        stack(rows),
        title="Pictures from elsewhere",
        subtitle="nothing like them was trained on: the network answers with a head that it knows",
        rows=list(pictures),
        columns=columns,
        breaks=breaks[:-1],
    )


def _shown(images: EvaluationSet, who: int) -> Int64[Tensor, ""]:
    return (images.identity == who).nonzero()[0, 0]
