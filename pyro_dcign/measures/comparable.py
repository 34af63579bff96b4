"""What of a set a network can be asked about: factors that it knows, in its units and ranges."""

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.errors import InputError
from pyro_dcign.runs import Run, data_of

NARROW = 0.04
"""Share of a network's range below which a set's values look like another unit's (π/180 = .017)."""


def comparable(run: Run, images: EvaluationSet) -> tuple[EvaluationSet, frozenset[str], list[str]]:
    """The images inside the ranges that a run was trained on, and what is left out and why.

    A factor whose values span a tiny part of the run's range is left out: they are most likely in
    another unit, and edits to them would be wrong by its factor. Its values still tell scenes
    apart. The run's own data stay whole.

    Returns:
        Images, names of factors to leave out, and a line on each thing that was left out.

    Raises:
        InputError: A set that shares no factor with the run, in one unit, or one that lies mostly
            outside of its ranges.
    """
    shared = [name for name in run.factors if name in images.factors]
    if run.factors and images.factors and not shared:
        raise InputError(
            f"expected one of the network's factors {', '.join(run.factors)} in the set, found "
            f"{', '.join(images.factors) or 'none'}; name its factors so, or use another set"
        )
    if images.data and images.data == data_of(run):
        return images, frozenset(), []
    notes, inside, strange = [], torch.ones(len(images), dtype=torch.bool), set()
    for name in shared:
        limits, values = run.factors[name], images.factors[name]
        span = limits.period or limits.high - limits.low
        known = values[values.isfinite()].double()
        extent = float(known.max() - known.min()) if len(known) else 0.0
        if 0 < extent < NARROW * span:
            notes.append(
                f"{name} is left out: its values span {extent:.3g} of the {span:.3g} that the "
                "network was trained on; if they are in another unit, convert them"
            )
            strange.add(name)
        else:
            inside &= ~_outside(limits, values)
            if not _outside(limits, values).any():
                continue
            notes.append(
                f"{name} goes from {known.min():.4g} to {known.max():.4g}, the network was trained "
                f"from {limits.low:.4g} to {limits.high:.4g}; images outside are left out"
            )
    if shared and strange == set(shared):
        raise InputError(f"expected values in the network's units, but {'; '.join(notes)}")
    left = int(inside.sum())
    if 2 * left < len(images):
        raise InputError(
            f"expected images within the network's ranges, found {len(images) - left} of "
            f"{len(images)} outside: {'; '.join(notes)}; convert their units, or use other images"
        )
    kept = {name: values[inside] for name, values in images.factors.items()}
    found = replace(
        images, pixels=images.pixels[inside], factors=kept, identity=images.identity[inside]
    )
    if left < len(images):
        notes.append(f"{len(images) - left} of {len(images)} images are left out")
    return found, frozenset(strange), notes


def _outside(limits: FactorRange, values: Tensor) -> Bool[Tensor, " images"]:
    if limits.period:
        return torch.zeros(len(values), dtype=torch.bool)
    # A hundredth of the range: grids of other makers end a little elsewhere.
    margin = max(limits.resolution, 0.01 * (limits.high - limits.low))
    return (values < limits.low - margin) | (values > limits.high + margin)
