"""Pictures of what a run renders: reconstructions, sweeps of one knob, and edits."""

import torch
from jaxtyping import Int64
from matplotlib.figure import Figure
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.images import intensities
from pyro_dcign.measures.calibration import Calibration
from pyro_dcign.measures.figures.mosaic import mosaic, stack
from pyro_dcign.runs import Run, decode, encode
from pyro_dcign.style import value_label


def reconstructions(run: Run, images: EvaluationSet, *, count: int = 12, seed: int = 0) -> Figure:
    """Images of unseen identities, and below each what its code decodes to."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    rows = distinct(images, order)[:count]
    pixels = images.pixels[rows]
    rebuilt = decode(run, encode(run, pixels))
    return mosaic(
        stack([list(intensities(pixels)), list(rebuilt)]),
        title="Seen for the first time, encoded and decoded",
        rows=("picture", "decoded"),
    )


def sweep_values(limits: FactorRange, count: int = 9) -> list[float]:
    """Values from end to end of a factor's range; the factor's own grid where that is short."""
    if 1 < len(limits.values) <= count:
        return list(limits.values)
    if limits.period:
        return [limits.low + limits.period * i / count for i in range(count)]
    return torch.linspace(limits.low, limits.high, count).tolist()


def sweep(
    run: Run, calibration: Calibration, pixels: Tensor, factor: str, values: Tensor
) -> Tensor:
    """One image (height, width), its code edited to each value: (values, 1, side, side)."""
    codes = encode(run, pixels.unsqueeze(0)).expand(len(values), -1)
    return decode(run, calibration.edit(codes, factor, values))


def sweeps(
    run: Run,
    calibration: Calibration,
    images: EvaluationSet,
    factor: str,
    *,
    people: int = 5,
) -> Figure:
    """One knob turned from end to end for a few unseen identities (paper, figures 4 and 5)."""
    limits = run.factors[factor]
    values = sweep_values(limits)
    rows = []
    for i in distinct(images, central(images))[:people].tolist():
        pixels = images.pixels[i]
        turned = sweep(run, calibration, pixels, factor, torch.tensor(values))
        rows.append([intensities(pixels), decode(run, encode(run, pixels.unsqueeze(0))), *turned])
    return mosaic(
        stack(rows),
        title=f"Turning the {factor} knob",
        subtitle="each row starts from one picture; only the latents of this factor change",
        columns=("picture", "decoded", *(value_label(factor, limits, v) for v in values)),
        breaks=(1, 2),
    )


def editings(
    run: Run,
    calibration: Calibration,
    images: EvaluationSet,
    *,
    entangled: tuple[Run, Calibration] | None = None,
    examples: int = 3,
) -> Figure:
    """A picture, its code edited to another view, and the true other view (paper, figure 6).

    Each column is one pair of images of an identity that differ in one factor only. With an
    entangled run there is a row for its edit of the same picture as well.
    """
    runs = [("edited", run, calibration)]
    if entangled is not None:
        runs.append(("edited, no clamp", *entangled))
    names: list[str] = []
    columns: list[list[Tensor]] = []
    breaks: list[int] = []
    for factor in calibration.curves:
        first, second = _telling_pairs(images, factor, examples)
        if not len(first):
            continue
        breaks.append(len(columns))
        values = images.factors[factor]
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            target = values[b : b + 1]
            edits = [sweep(r, c, images.pixels[a], factor, target) for _, r, c in runs]
            shown = intensities(images.pixels[torch.tensor([a, b])])
            columns.append([shown[0], *edits, shown[1]])
            before, after = (
                value_label(factor, run.factors[factor], float(values[i])) for i in (a, b)
            )
            arrow = f"{before} → {after}"
            names.append(f"{factor}\n{arrow}" if len(columns) - 1 == breaks[-1] else f"\n{arrow}")
    if not columns:
        return mosaic(torch.ones(1, 1, 2, 2), title="No pairs of pictures to compare")
    return mosaic(
        stack(columns).transpose(0, 1),
        title="One factor edited, beside the true picture",
        columns=names,
        rows=("picture", *(label for label, _, _ in runs), "true"),
        breaks=breaks[1:],
    )


def _telling_pairs(
    images: EvaluationSet, factor: str, count: int
) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]:
    """Pairs of different identities among the sixth that differ most."""
    first, second = images.pairs(factor, cap=600)
    values = images.factors[factor]
    distance = (values[first] - values[second]).abs()
    order = distance.argsort(descending=True)[: max(count, len(first) // 6)]
    order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0))]
    seen: set[int] = set()
    kept: list[int] = []
    for i in order.tolist():
        who = int(images.identity[first[i]])
        if who not in seen and len(kept) < count:
            seen.add(who)
            kept.append(i)
    return first[kept], second[kept]


def central(images: EvaluationSet) -> Int64[Tensor, " images"]:
    """Images in the order of how near their factors are to the middle of their ranges."""
    away = torch.zeros(len(images))
    for name, values in images.factors.items():
        limits = images.ranges[name]
        span = max(limits.high - limits.low, limits.resolution) or 1.0
        away += ((values - (limits.low + limits.high) / 2) / span).square()
    return away.argsort(stable=True)


def distinct(images: EvaluationSet, order: Tensor) -> Int64[Tensor, " images"]:
    """The first image of each identity in an order."""
    seen: set[int] = set()
    kept = []
    for i, who in zip(order.tolist(), images.identity[order].tolist(), strict=True):
        if who not in seen:
            seen.add(who)
            kept.append(i)
    return torch.tensor(kept)
