"""Whether a store keeps its promises: what varies and what is held, ranges, identities, bytes."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyro_dcign.code import INTRINSIC, FactorRange
from pyro_dcign.datasets.manifest import SPLITS
from pyro_dcign.datasets.minibatch import Block
from pyro_dcign.datasets.store import Store
from pyro_dcign.varying import type_factors


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        summary: What the store holds; see :func:`summary`.
        problems: One line for each broken promise; empty if all is well.
    """

    summary: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {"ok": not self.problems, "problems": self.problems, **self.summary}


def check(store: Store) -> Report:
    """Read every byte of a store and compare it with what its manifest promises.

    In each minibatch the held factors are constant within the store's tolerance, and so is the
    identity where it is held; of what varies something takes two values or more; factors are
    finite and in their ranges; no image is blank and no minibatch shows one image only; no identity
    is in both splits; every shard has its digest (of one that lacks it nothing more is said).
    """
    damaged = store.verify()
    problems = [f"{file}: its bytes are not those that were written" for file in damaged]
    seen = {split: store.identities(split, without=damaged) for split in SPLITS}
    for split in SPLITS:
        number = dict.fromkeys(store.types, 0)
        for shard in store.manifest.shards[split]:
            varying, start = shard.varying, number[shard.varying]
            number[varying] += shard.minibatches
            if shard.file in damaged:
                continue
            for problem, broken in _problems(store, varying, store.block(shard)):
                first = start + int(broken.nonzero()[0])
                problems.append(
                    f"{split} {varying}: {problem} in {int(broken.sum())} of {len(broken)} "
                    f"minibatches, first in number {first}"
                )
    both = seen["train"][torch.isin(seen["train"], seen["test"])]
    if len(both) and store.manifest.labelled:
        problems.append(
            f"{len(both)} identities are both in train and in test, such as {int(both[0])}"
        )
    return Report(summary(store, without=damaged), problems)


def summary(store: Store, *, without: Collection[str] = ()) -> dict[str, Any]:
    """What a store holds, from its manifest and the identities of all shards but some."""
    return {
        "side": store.side,
        "size": store.size,
        "labelled": store.manifest.labelled,
        "bytes": store.bytes,
        "factors": {
            name: {
                "low": limits.low,
                "high": limits.high,
                "values": len(limits.values),
                "period": limits.period,
            }
            for name, limits in store.factors.items()
        },
        "minibatches": {split: store.counts(split) for split in SPLITS},
        "identities": {split: len(store.identities(split, without=without)) for split in SPLITS},
        "recipe": dict(store.manifest.recipe),
    }


def _problems(store: Store, varying: str, block: Block) -> Iterator[tuple[str, Tensor]]:
    """Broken promises of a shard, each with the mask of the minibatches that break it."""
    for problem, broken in _claims(store, varying, block):
        if broken.any():
            yield problem, broken


def _claims(store: Store, varying: str, block: Block) -> Iterator[tuple[str, Tensor]]:
    flat = block.pixels.flatten(2)
    yield "a blank image", (flat.amax(-1) == flat.amin(-1)).any(-1)
    yield "the same image throughout", (flat == flat[:, :1]).all(-1).all(-1)
    if not store.manifest.labelled:
        return
    varies = type_factors(varying, store.factors)
    people = block.identity.amax(-1) != block.identity.amin(-1)
    moved = {INTRINSIC: people}
    if INTRINSIC not in varies:
        yield "more than one identity", people
    for (name, limits), values in zip(store.factors.items(), block.factors.unbind(-1), strict=True):
        yield f"a {name} that is not finite", ~values.isfinite().all(-1)
        yield f"a {name} outside its range", _outside(limits, values).any(-1)
        moved[name] = values.amax(-1) - values.amin(-1) > store.manifest.tolerance
        if name not in varies:
            yield f"a {name} that is not held", moved[name]
    still = ~torch.stack([moved[name] for name in varies]).any(0)
    yield "only one identity" if varying == INTRINSIC else f"a {varying} that does not vary", still


def _outside(limits: FactorRange, values: Tensor) -> Tensor:
    margin = 1e-5 * max(abs(limits.low), abs(limits.high), 1e-3)  # of rounding to 32 bits
    outside = (values < limits.low - margin) | (values > limits.high + margin)
    if limits.values:
        grid = torch.tensor(sorted(limits.values))
        near = torch.searchsorted(grid, values.contiguous()).clamp(1, max(len(grid) - 1, 1))
        near = near.clamp(max=len(grid) - 1)
        distance = torch.minimum((values - grid[near]).abs(), (values - grid[near - 1]).abs())
        outside |= distance > margin
    return outside
