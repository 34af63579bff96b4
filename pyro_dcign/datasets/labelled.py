"""Labelled images in their plain form: what evaluation runs on, from a FILE.npz or a store."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.manifest import (
    MAX_FACTORS,
    MAX_IMAGES,
    MAX_SIDE,
    MAX_VALUE,
    check_factor_names,
)
from pyro_dcign.datasets.minibatch import Block
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError, refuse
from pyro_dcign.files import Array, archive
from pyro_dcign.images import Pixels, resized

TOLERANCE = 1e-3
"""Factors that differ by no more count as equal."""

IDENTITIES = 10
"""Identities that pairs of a kind are to show before they stand for a set."""

LIMIT = 40_000
"""Most images of a split that are read at once, unless asked otherwise."""

MAX_BYTES = 4 * 2**30
"""Largest array that is read from a file."""


@final
@dataclass(frozen=True)
class EvaluationSet:
    """Images whose factors and identities are known.

    Attributes:
        pixels: 8-bit grey images.
        factors: True value of each extrinsic factor for each image; degrees for angles.
        identity: Who is shown.
        ranges: Range of each factor; of a FILE.npz, the extent of its values.
    """

    pixels: Pixels
    factors: Mapping[str, Float32[Tensor, " images"]]
    identity: Int64[Tensor, " images"]
    ranges: Mapping[str, FactorRange]

    def __len__(self) -> int:
        return len(self.pixels)

    def resized(self, side: int) -> "EvaluationSet":
        """The same set at another size: bilinear, antialiased when it shrinks."""
        return replace(self, pixels=resized(self.pixels, side))

    def pairs(
        self, *factors: str, cap: int = 2000, seed: int = 0
    ) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]:
        """Pairs of images of one identity that differ in these factors only.

        Each pair comes in both orders. All other factors agree within 1e-3. Of several factors
        those pairs are taken that differ in the most of them, if they show ten identities (or
        everyone who has pairs); else those that differ in one less or more, and so on.

        Args:
            factors: Names of the factors that differ, by more than 1e-3; without any, all pairs of
                an identity whose factors agree.
            cap: Most pairs; of more, a seeded sample.
            seed: Of the sample.

        Returns:
            Positions of the first and of the second images.

        Raises:
            InputError: A factor that the set does not have.
        """
        for name in factors:
            if name not in self.factors:
                raise InputError(
                    f"expected one of the factors {', '.join(self.factors)}, found {name}; "
                    f"use a set that has it"
                )
        group = self._groups(factors)
        order = np.argsort(group, kind="stable")
        size = np.bincount(group)
        start = np.cumsum(size) - size
        ends = np.cumsum(size * (size - 1))  # ordered pairs of the groups so far
        total = int(ends[-1]) if len(ends) else 0
        generator = np.random.Generator(np.random.PCG64(seed))
        # Ten times the cap leaves enough after the pairs of equal values are dropped.
        few = min(total, 10 * cap)
        picked = np.sort(generator.choice(total, few, replace=False)) if few < total else None
        picked = np.arange(total) if picked is None else picked
        where = np.searchsorted(ends, picked, "right")
        rest = picked - (ends - size * (size - 1))[where]
        first, second = np.divmod(rest, np.maximum(size[where] - 1, 1))
        second = second + (second >= first)  # the second is any but the first
        a, b = order[start[where] + first], order[start[where] + second]
        differ = self._most_different(a, b, factors)
        a, b = a[differ], b[differ]
        if len(a) > cap:
            kept = np.sort(generator.choice(len(a), cap, replace=False))
            a, b = a[kept], b[kept]
        return torch.from_numpy(a), torch.from_numpy(b)

    def _most_different(
        self, a: NDArray[np.int64], b: NDArray[np.int64], factors: Collection[str]
    ) -> NDArray[np.bool_]:
        """Which pairs differ in as many of the factors as pairs of several identities do."""
        columns = [self.factors[name].double().numpy() for name in factors]
        number = np.zeros(len(a), np.int64)
        for values in columns:
            number += np.abs(values[a] - values[b]) > TOLERANCE
        who = self.identity.numpy()[a]
        enough = min(IDENTITIES, len(np.unique(who[number > 0])))
        for least in range(len(columns), 1, -1):
            if len(np.unique(who[number >= least])) >= enough:
                return np.asarray(number >= least)
        return np.asarray(number >= min(1, len(columns)))

    def _groups(self, factors: Collection[str]) -> NDArray[np.int64]:
        """Numbers of the groups of images that share the identity and all factors but these."""
        group = np.unique(self.identity.numpy(), return_inverse=True)[1].astype(np.int64)
        for name, column in self.factors.items():
            if name in factors:
                continue
            values = column.double().numpy()
            order = np.lexsort((values, group))
            # Within a group, values in order: a step above the tolerance begins a new group.
            new = np.diff(group[order], prepend=-1) != 0
            new |= np.diff(values[order], prepend=np.nan) > TOLERANCE
            group[order] = np.cumsum(new) - 1
        return group


def evaluation_set(store: Store, split: str = "test", *, limit: int = LIMIT) -> EvaluationSet:
    """All images of a split of a store, or evenly spaced minibatches of each type.

    Args:
        store: Whose true factors are known.
        split: "train" or "test".
        limit: Most images, about.

    Raises:
        InputError: A split without images, or a store whose true factors are unknown.
    """
    if not store.manifest.labelled:
        raise InputError(
            f"expected labelled images in {store.folder}, found a set without true factors; "
            f"evaluate on a set that has them"
        )
    every = -(-sum(store.counts(split).values()) * store.size // limit)
    blocks = [
        Block(*(part.cpu() for part in block))
        for block in (
            _some(store, split, every) if every > 1 else (block for _, block in store.blocks(split))
        )
    ]
    if not every:
        raise InputError(
            f"expected images in the split {split} of {store.folder}, found none; make some"
        )
    factors = torch.cat([block.factors.flatten(0, 1) for block in blocks])
    return EvaluationSet(
        torch.cat([block.pixels.flatten(0, 1) for block in blocks]),
        dict(zip(store.factors, factors.unbind(-1), strict=True)),
        torch.cat([block.identity.flatten() for block in blocks]),
        dict(store.factors),
    )


def _some(store: Store, split: str, every: int) -> Iterator[Block]:
    for varying in store.types:
        for index in range(0, store.count(split, varying), every):
            found = store.minibatch(split, varying, index)
            factors = torch.stack([found.factors[name] for name in store.factors], -1)
            yield Block(*(part[None] for part in (found.pixels, factors, found.identity)))


def read_npz(path: Path | str) -> EvaluationSet:
    """A set in the plain form: ``images`` uint8 (N, H, H), ``identity`` int (N,), ``factor_<name>``
    float (N,) for each factor, angles in degrees.

    Headers are checked, sizes included, before any array is read; nothing is unpickled.

    Raises:
        InputError: No such file, a damaged one, or arrays of other names, shapes or types.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a FILE.npz at {path}, found none; give its path")
    with archive(path) as arrays:
        names = [n.removeprefix("factor_") for n in arrays.names if n.startswith("factor_")]
        check_factor_names(tuple(names))
        if len(names) > MAX_FACTORS:
            raise _refuse(path, f"at most {MAX_FACTORS} factors", f"{len(names)}")
        images, identity = arrays.take("images"), arrays.take("identity")
        shape = images.shape
        if images.dtype != np.uint8 or len(shape) != 3 or shape[1] != shape[2]:
            raise _refuse(
                path, "images as uint8 (N, H, H), grey and square", f"{images.dtype} {shape}"
            )
        if not 1 <= shape[0] <= MAX_IMAGES or not 1 <= shape[1] <= MAX_SIDE:
            raise _refuse(path, f"1 to {MAX_IMAGES} images of 1 to {MAX_SIDE} pixels", f"{shape}")
        if images.bytes > MAX_BYTES:
            raise _refuse(path, f"at most {MAX_BYTES} bytes of images", f"{images.bytes}")
        _expect(identity, "iu", shape[0])
        factors = {}
        for name in names:
            array = arrays.take(f"factor_{name}")
            _expect(array, "fiu", shape[0])
            values = array.whole()
            if not (np.abs(values.astype(np.float64)) <= MAX_VALUE).all():
                raise _refuse(
                    path, f"finite numbers within {MAX_VALUE:g} in factor_{name}", "others"
                )
            factors[name] = torch.from_numpy(values.astype(np.float32))
        who = identity.whole()
        if who.max() > np.iinfo(np.int64).max:
            raise _refuse(path, "identities below 2**63", f"{who.max()}")
        return EvaluationSet(
            torch.from_numpy(np.ascontiguousarray(images.whole(MAX_BYTES))),
            factors,
            torch.from_numpy(who.astype(np.int64)),
            {n: FactorRange(float(v.min()), float(v.max())) for n, v in factors.items()},
        )


def _expect(array: Array, kinds: str, images: int) -> None:
    """Raise InputError unless an array holds a number of these kinds for each image."""
    if array.shape != (images,) or array.dtype.kind not in kinds:
        wanted = f"{images} {'whole numbers' if kinds == 'iu' else 'floats'}"
        raise _refuse(array.path, f"{array.name} as {wanted}", f"{array.dtype} {array.shape}")


def _refuse(path: Path, expected: str, found: str) -> InputError:
    return refuse(path, expected, found, "write it with numpy.savez in the plain form")
