"""Which scenes a typed minibatch shows: identities and factors drawn from one seed, no images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from pyro_dcign.code import INTRINSIC, FactorRange
from pyro_dcign.datasets.manifest import SPLITS
from pyro_dcign.datasets.minibatch import MINIBATCH, Block
from pyro_dcign.errors import InputError
from pyro_dcign.scenes import Scene
from pyro_dcign.varying import type_factors, type_number

IDENTITIES = {"train": (0, 2**20), "test": (2**30, 2**30 + 2**20)}
"""Identities of each split, first and one past the last: split before anything is drawn."""


@dataclass(frozen=True)
class MinibatchPlan:
    """What to render for some minibatches of one type.

    Attributes:
        varying: Type of the minibatches: the name of the set of factors that vary in each.
        identity: Who is shown.
        factors: Values of the extrinsic factors, in the order of ``names``; degrees for angles.
        names: Names of the extrinsic factors.
    """

    varying: str
    identity: Int64[Tensor, "minibatches images"]
    factors: Float32[Tensor, "minibatches images factors"]
    names: tuple[str, ...]


@runtime_checkable
class Plans(Protocol):
    """Says what each typed minibatch shows: `Planner` draws it, `Census` goes through all views."""

    factors: Mapping[str, FactorRange]
    """Range of each extrinsic factor, in the order of the code."""

    def plan(self, split: str, varying: str, indices: Sequence[int]) -> MinibatchPlan:
        """The scenes of the minibatches of these numbers."""
        ...


@final
class Planner:
    """Draws the scenes of any minibatch from the seed, the split, the type and its number alone.

    Each minibatch has its own counter-based generator (Philox, keyed by the seed, its counter set
    from split, type and number), so it comes out the same in whatever order, by whatever worker.
    The base scene is uniform over the factors' ranges and the split's identities, so each held
    factor has one random value in a minibatch; every factor that varies gets ``size`` further
    draws, "intrinsic" as many different identities.

    Args:
        factors: Range of each extrinsic factor, in order.
        seed: From 0 to 2⁶⁴ - 1.
        size: Images in a minibatch.
        identities: First identity and one past the last of each split.

    Raises:
        InputError: A seed out of range, splits that overlap, or too few identities for one
            intrinsic minibatch.
    """

    def __init__(
        self,
        factors: Mapping[str, FactorRange],
        seed: int,
        *,
        size: int = MINIBATCH,
        identities: Mapping[str, tuple[int, int]] = IDENTITIES,
    ) -> None:
        if not 0 <= seed < 2**64:
            raise InputError(f"expected a seed from 0 to 2**64 - 1, found {seed}; give another")
        for split in SPLITS:
            first, end = identities[split]
            if end - first < size:
                raise InputError(
                    f"expected {size} or more identities in {split}, found {end - first}; "
                    f"an intrinsic minibatch shows that many different ones"
                )
        (first, end), (other, other_end) = (identities[split] for split in SPLITS)
        if first < other_end and other < end:
            raise InputError(
                f"expected different identities in train and test, found {first} to {end} and "
                f"{other} to {other_end}; separate them"
            )
        self.factors: Mapping[str, FactorRange] = dict(factors)
        self.seed, self.size = seed, size
        self.identities = {split: tuple(identities[split]) for split in SPLITS}

    def plan(self, split: str, varying: str, indices: Sequence[int]) -> MinibatchPlan:
        """The scenes of the minibatches of these numbers; any number exists, there is no end."""
        identity = np.empty((len(indices), self.size), np.int64)
        factors = np.empty((len(indices), self.size, len(self.factors)), np.float32)
        for row, index in enumerate(indices):
            identity[row], factors[row] = self._draw(split, varying, index)
        return MinibatchPlan(
            varying, torch.from_numpy(identity), torch.from_numpy(factors), tuple(self.factors)
        )

    def _draw(
        self, split: str, varying: str, index: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # The counter's lowest word runs; the three above it name the minibatch.
        counter = [0, index, type_number(varying, self.factors), SPLITS.index(split)]
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=counter))
        first, end = self.identities[split]
        identity = np.full(self.size, generator.integers(first, end))
        base = [_values(limits, 1, generator)[0] for limits in self.factors.values()]
        factors = np.tile(np.array(base), (self.size, 1)).reshape(self.size, len(base))
        varies = type_factors(varying, self.factors)
        for column, (name, limits) in enumerate(self.factors.items()):
            if name in varies:
                factors[:, column] = _values(limits, self.size, generator)
        if INTRINSIC in varies:
            identity = first + generator.choice(end - first, self.size, replace=False)
        return identity, factors


def _values(limits: FactorRange, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Uniform draws from a range; from a grid, no value twice before each has come once."""
    if not limits.values:
        return limits.low + (limits.high - limits.low) * generator.random(n)
    rounds = -(-n // len(limits.values))
    drawn = [generator.permutation(np.array(limits.values, np.float64)) for _ in range(rounds)]
    return np.concatenate(drawn)[:n]


def render(scene: Scene, plan: MinibatchPlan, *, side: int) -> Block:
    """The planned minibatches as images, on the device of the scene."""
    factors = dict(zip(plan.names, plan.factors.flatten(0, 1).unbind(-1), strict=True))
    pixels = scene.render(plan.identity.flatten(), factors, side=side)
    shape = (*plan.identity.shape, side, side)
    return Block(pixels.reshape(shape), plan.factors, plan.identity)


def rendered(
    scene: Scene, plans: Plans, split: str, varying: str, indices: Sequence[int], *, side: int
) -> Block:
    """Minibatches of one type rendered on the spot: training data that never touch a disk.

    Args:
        scene: What to render, and on which device.
        plans: What the minibatches show.
        split: "train" or "test".
        varying: The type of the minibatches.
        indices: Their numbers; the same number is always the same minibatch.
        side: Height and width of the images.

    Returns:
        Images, factors and identities, all on the scene's device.
    """
    block = render(scene, plans.plan(split, varying, indices), side=side)
    return Block(*(part.to(block.pixels.device) for part in block))
