"""Labelled images in their plain form: what evaluation runs on, from a FILE.npz or a store."""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from pyro_dcign.datasets.manifest import MAX_SIDE, check_factor_names
from pyro_dcign.datasets.resize import resized
from pyro_dcign.datasets.shard import Block
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.minibatch import Pixels
from pyro_dcign.scenes import FactorRange

TOLERANCE = 1e-3
"""Factors that differ by no more count as equal."""

LIMIT = 40_000
"""Most images of a split that are read at once, unless asked otherwise."""

MAX_BYTES = 4 * 2**30
"""Largest array that is read from a file."""

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,  # a compression that zipfile lacks
    RuntimeError,  # an encrypted member
    SyntaxError,  # a header that is no literal
    MemoryError,
)
"""What reading a damaged NumPy archive raises."""


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
        self, factor: str, *, cap: int = 2000, seed: int = 0
    ) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]:
        """Pairs of images of one identity that differ in one factor only.

        Each pair comes in both orders. All other factors agree within 1e-3.

        Args:
            factor: Name of the factor that differs, by more than 1e-3.
            cap: Most pairs; of more, a seeded sample.
            seed: Of the sample.

        Returns:
            Positions of the first and of the second images.

        Raises:
            InputError: A factor that the set does not have.
        """
        if factor not in self.factors:
            raise InputError(
                f"expected one of the factors {', '.join(self.factors)}, found {factor}; "
                f"use a set that has it"
            )
        group = self._groups(factor)
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
        values = self.factors[factor].double().numpy()
        differ = np.abs(values[a] - values[b]) > TOLERANCE
        a, b = a[differ], b[differ]
        if len(a) > cap:
            kept = np.sort(generator.choice(len(a), cap, replace=False))
            a, b = a[kept], b[kept]
        return torch.from_numpy(a), torch.from_numpy(b)

    def _groups(self, factor: str) -> NDArray[np.int64]:
        """Numbers of the groups of images that share the identity and all factors but one."""
        group = np.unique(self.identity.numpy(), return_inverse=True)[1].astype(np.int64)
        for name, column in self.factors.items():
            if name == factor:
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
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except InputError:
        raise
    except DAMAGE as error:
        raise _refuse(
            path, "an undamaged NumPy archive", f"{type(error).__name__} {error}"
        ) from None


def _read(path: Path, archive: zipfile.ZipFile) -> EvaluationSet:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    for name in ("images", "identity"):
        if name not in members:
            raise _refuse(path, f"an array {name}", ", ".join(list(members)[:8]) or "none")
    names = [name.removeprefix("factor_") for name in members if name.startswith("factor_")]
    check_factor_names(tuple(names))
    shape, kind = _header(path, archive, members["images"])
    if kind != np.uint8 or len(shape) != 3 or shape[1] != shape[2]:
        raise _refuse(path, "images as uint8 (N, H, H), grey and square", f"{kind} {shape}")
    if shape[0] < 1 or not 1 <= shape[1] <= MAX_SIDE:
        raise _refuse(path, f"1 or more images of 1 to {MAX_SIDE} pixels", f"{shape}")
    vectors = {"identity": "iu"} | {f"factor_{name}": "fiu" for name in names}
    for name, kinds in vectors.items():
        found, kind = _header(path, archive, members[name])
        if found != shape[:1] or kind.kind not in kinds:
            wanted = "whole numbers" if kinds == "iu" else "floats"
            raise _refuse(path, f"{name} as {shape[0]} {wanted}", f"{kind} {found}")
    factors = {}
    for name in names:
        values = _array(archive, members[f"factor_{name}"]).astype(np.float32)
        if not np.isfinite(values).all():
            raise _refuse(path, f"finite numbers in factor_{name}", "NaN or infinity")
        factors[name] = torch.from_numpy(values)
    identity = _array(archive, members["identity"])
    if identity.max() > np.iinfo(np.int64).max:
        raise _refuse(path, "identities below 2**63", f"{identity.max()}")
    return EvaluationSet(
        torch.from_numpy(np.ascontiguousarray(_array(archive, members["images"]))),
        factors,
        torch.from_numpy(identity.astype(np.int64)),
        {n: FactorRange(float(v.min()), float(v.max())) for n, v in factors.items()},
    )


def _header(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, its size checked against the archive's and the limit."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise _refuse(path, "npy version 1 or 2", f"{version}")
        shape, _, kind = _HEADERS[version](file)
        start = file.tell()
    if kind.hasobject:
        raise _refuse(path, f"numbers in {info.filename}", "Python objects")
    if start + math.prod(shape) * kind.itemsize != info.file_size or min(shape, default=0) < 0:
        raise _refuse(path, f"{info.filename} to fill its shape {shape}", f"{info.file_size} bytes")
    if info.file_size > MAX_BYTES:
        raise _refuse(path, f"at most {MAX_BYTES} bytes in {info.filename}", f"{info.file_size}")
    return shape, kind


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _refuse(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        f"{path}: expected {expected}, found {found}; write it with numpy.savez in the plain form"
    )
