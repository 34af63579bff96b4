"""A census: typed minibatches that go through all views of a grid, where a planner draws them."""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_dcign.code import INTRINSIC, FactorRange
from pyro_dcign.datasets.manifest import SPLITS
from pyro_dcign.datasets.minibatch import MINIBATCH
from pyro_dcign.datasets.plans.plan import MinibatchPlan
from pyro_dcign.datasets.plans.recipe import Recipe
from pyro_dcign.errors import InputError
from pyro_dcign.scenes import CHAIRS, Chairs
from pyro_dcign.varying import standard_types, type_factors, type_number

TEST_SHARE = 150 / CHAIRS
"""Share of the chairs that are kept for the test (paper, section 4.2: 150 of 1,357)."""


@final
class Census:
    """Goes through identities times grid values.

    The minibatches of a type visit each combination of the values that are held. The scenes that
    differ in what varies come in an order of the combination's own, ``size`` at a time: where the
    identity is held, one minibatch of them; where it varies, as many as show them all, so that
    those of "intrinsic" together show every view once.

    Args:
        factors: Range of each extrinsic factor; all have values.
        seed: Of the orders.
        size: Images in a minibatch.
        identities: First identity and one past the last of each split.

    Raises:
        InputError: A factor without values, or fewer identities than a minibatch shows.
    """

    def __init__(
        self,
        factors: Mapping[str, FactorRange],
        seed: int,
        *,
        size: int = MINIBATCH,
        identities: Mapping[str, tuple[int, int]],
    ) -> None:
        for name, limits in factors.items():
            if not limits.values:
                raise InputError(f"a census needs values of {name}, found a range; draw instead")
        for split in SPLITS:
            first, end = identities[split]
            if end - first < size:
                raise InputError(
                    f"expected {size} or more identities in {split}, found {end - first}; "
                    f"take more of them"
                )
        self.factors: Mapping[str, FactorRange] = dict(factors)
        self.seed, self.size = seed, size
        self.identities = {split: tuple(identities[split]) for split in SPLITS}

    def counts(self, split: str) -> dict[str, int]:
        """Minibatches of each type that visit everything once."""
        return {name: self._count(split, name) for name in standard_types(self.factors)}

    def _count(self, split: str, varying: str) -> int:
        held, shown = self._lengths(split, varying)
        turns = -(-int(np.prod(shown)) // self.size) if shown[0] > 1 else 1
        return int(np.prod(held)) * turns

    def _lengths(self, split: str, varying: str) -> tuple[list[int], list[int]]:
        """How many identities and values of each factor are held in turn, and how many shown."""
        first, end = self.identities[split]
        varies = type_factors(varying, self.factors)
        lengths = {INTRINSIC: end - first}
        lengths |= {name: len(limits.values) for name, limits in self.factors.items()}
        held = [1 if name in varies else length for name, length in lengths.items()]
        shown = [length if name in varies else 1 for name, length in lengths.items()]
        return held, shown

    def plan(self, split: str, varying: str, indices: Sequence[int]) -> MinibatchPlan:
        """The scenes of the minibatches of these numbers; after the last it begins again."""
        identity = np.empty((len(indices), self.size), np.int64)
        factors = np.empty((len(indices), self.size, len(self.factors)), np.float32)
        for row, index in enumerate(indices):
            identity[row], factors[row] = self._visit(split, varying, index)
        return MinibatchPlan(
            varying, torch.from_numpy(identity), torch.from_numpy(factors), tuple(self.factors)
        )

    def _visit(
        self, split: str, varying: str, index: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        held, shown = self._lengths(split, varying)
        first, cells = self.identities[split][0], int(np.prod(held[1:]))
        # Where the identity is held, each cell goes through the people in one order.
        turn, where = divmod(index, cells * held[0])
        cell, person = divmod(where, held[0])
        people = self._order(split, varying, 0, held[0])
        order = self._order(split, varying, 1 + where, int(np.prod(shown)))
        at = np.unravel_index(self._slice(order, turn), shown)
        fixed = np.unravel_index(cell, held[1:]) if self.factors else ()
        identity = first + people[person] + at[0]
        factors = np.empty((self.size, len(self.factors)))
        for column, limits in enumerate(self.factors.values()):
            factors[:, column] = np.array(limits.values)[fixed[column] + at[1 + column]]
        return identity, factors

    def _slice(self, order: NDArray[np.int64], turn: int) -> NDArray[np.int64]:
        """The next ``size`` of an order that begins again at its end."""
        return order[(turn * self.size + np.arange(self.size)) % len(order)]

    def _order(self, split: str, varying: str, number: int, n: int) -> NDArray[np.int64]:
        counter = [0, number, type_number(varying, self.factors), SPLITS.index(split)]
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=counter))
        return generator.permutation(n)


def all_chairs(*, chairs: int = CHAIRS, side: int = 150, seed: int = 0) -> Recipe:
    """The recipe of the paper's chairs: each at 31 azimuths and two elevations, split by chair.

    Args:
        chairs: How many, about one in nine of them to test.
        side: Height and width of the images, in pixels.
        seed: Of the order in which they are shown.

    Raises:
        InputError: Fewer than 20 chairs, too few for minibatches of 20 views of others.
    """
    if not MINIBATCH <= chairs <= 2**20:
        raise InputError(
            f"expected {MINIBATCH} to {2**20} chairs, found {chairs}; change the number of chairs"
        )
    test = max(MINIBATCH // 2, round(chairs * TEST_SHARE))
    # An identity is a chair seen from one of two elevations (see `Chairs`).
    identities = {"train": (0, 2 * (chairs - test)), "test": (2 * (chairs - test), 2 * chairs)}
    census = Census(Chairs.factors, seed, identities=identities)
    counts = {split: census.counts(split) for split in SPLITS}
    return Recipe("chairs", counts, side=side, seed=seed, identities=identities, plan="census")
