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

TEST_SHARE = 150 / CHAIRS
"""Share of the chairs that are kept for the test (paper, section 4.2: 150 of 1,357)."""


@final
class Census:
    """Goes through identities times grid values.

    The minibatches of "intrinsic" visit each cell of the grid in turn, and in each all identities
    of the split, ``size`` at a time in an order of its own; together they show every view once.
    Those of a factor visit each identity under each value of the other factors, and show ``size``
    of the factor's values in an order of their own.

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
        self.factors, self.seed, self.size = dict(factors), seed, size
        self.identities = {split: tuple(identities[split]) for split in SPLITS}
        self.types = (*self.factors, INTRINSIC)

    def counts(self, split: str) -> dict[str, int]:
        """Minibatches of each type that visit everything once."""
        first, end = self.identities[split]
        grid = [len(limits.values) for limits in self.factors.values()]
        cells = int(np.prod(grid))
        found = {
            name: (end - first) * (cells // values)
            for name, values in zip(self.factors, grid, strict=True)
        }
        return {**found, INTRINSIC: cells * -(-(end - first) // self.size)}

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
        first, end = self.identities[split]
        grid = [np.array(limits.values) for limits in self.factors.values()]
        lengths = [len(values) for values in grid]
        number = self.types.index(varying)
        if varying != INTRINSIC:
            lengths[number] = 1  # stands for all of its values
        cells = int(np.prod(lengths))
        order = self._order(split, varying, 0, end - first)
        if varying == INTRINSIC:
            turn, cell = divmod(index, cells)
            order = self._order(split, varying, 1 + cell, end - first)
            identity = first + self._slice(order, turn)
        else:
            turn, where = divmod(index, cells * (end - first))
            cell, person = divmod(where, end - first)
            identity = np.full(self.size, first + order[person])
        at = np.unravel_index(cell, lengths) if lengths else ()
        base = [values[k] for values, k in zip(grid, at, strict=True)]
        factors = np.tile(np.array(base), (self.size, 1)).reshape(self.size, len(base))
        if varying != INTRINSIC:
            values = grid[number]
            shown = self._order(split, varying, 1 + where, len(values))
            factors[:, number] = values[self._slice(shown, turn)]
        return identity, factors

    def _slice(self, order: NDArray[np.int64], turn: int) -> NDArray[np.int64]:
        """The next ``size`` of an order that begins again at its end."""
        return order[(turn * self.size + np.arange(self.size)) % len(order)]

    def _order(self, split: str, varying: str, number: int, n: int) -> NDArray[np.int64]:
        counter = [0, number, self.types.index(varying), SPLITS.index(split)]
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
