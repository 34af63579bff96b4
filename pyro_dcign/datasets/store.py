"""Typed minibatches on disk: a manifest and safetensors shards of 8-bit images."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, Int64, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pyro_dcign.code import INTRINSIC, FactorRange, GraphicsCode
from pyro_dcign.datasets.manifest import SPLITS, Manifest, Shard, read_manifest
from pyro_dcign.datasets.minibatch import Block, Minibatch
from pyro_dcign.datasets.plans.rendering import Rendering, is_planned, renderings
from pyro_dcign.datasets.shard import check_header
from pyro_dcign.errors import InputError
from pyro_dcign.files import digest
from pyro_dcign.varying import in_order


@final
class Store:
    """A folder of typed minibatches, each of which is one contiguous slice of a shard.

    Opening reads the manifest and the shards' headers, no images. Before a shard's first image is
    read, its SHA-256 is compared with the manifest's: damaged images are never trained on.

    A folder may hold a plan in place of images (``data make --plan-only``): those that are asked
    for are then rendered into memory, on a GPU where there is one.

    Args:
        folder: What ``data make`` or ``data import`` wrote.

    Raises:
        InputError: Anything missing or malformed, in one line.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self.types: tuple[str, ...] = self.manifest.types
        """Minibatch types: each factor alone, and the larger sets that there are minibatches of."""
        # shards of a type, in order: minibatch i of the type lies in the shard that covers i
        self._shards: dict[tuple[str, str], list[Shard]] = {
            (split, varying): [] for split in SPLITS for varying in self.types
        }
        for split in SPLITS:
            for shard in self.manifest.shards[split]:
                check_header(
                    self.folder / shard.file,
                    shard,
                    side=self.side,
                    size=self.size,
                    factors=len(self.factors),
                )
                self._shards[split, shard.varying].append(shard)
        self._sound: set[str] = set()
        self._handles: dict[str, Any] = {}
        if is_planned(self.manifest):
            planned = renderings(self.manifest)
            self.types = in_order([varying for _, varying in planned], self.factors)
            for kind, (shard, rendering) in planned.items():
                self._shards[kind] = [shard]
                self._handles[shard.file] = rendering

    @classmethod
    def open(cls, folder: Path | str) -> "Store":
        """The store in a folder, checked as far as that is cheap."""
        return cls(folder)

    @property
    def factors(self) -> Mapping[str, FactorRange]:
        """Range of each extrinsic factor, in the order of the graphics code."""
        return self.manifest.factors

    @property
    def side(self) -> int:
        """Height and width of the images, in pixels."""
        return self.manifest.side

    @property
    def size(self) -> int:
        """Images in a minibatch."""
        return self.manifest.size

    @property
    def bytes(self) -> int:
        """Size of all shards; of a plan, of the images that it stands for."""
        return sum(shard.bytes for listed in self._shards.values() for shard in listed)

    def code(self, latents: int, *, extrinsic: Mapping[str, int] | None = None) -> GraphicsCode:
        """A graphics code of that many latents: one for each extrinsic factor, else intrinsic.

        Args:
            latents: Latents in all.
            extrinsic: Factors that take another number than one, e.g. two for a full circle.

        Raises:
            InputError: Too few latents, or a factor that the data do not have.
        """
        other = dict(extrinsic or {})
        for name, number in other.items():
            if name not in self.factors or number < 1:
                raise InputError(
                    f"expected latents, 1 or more, for one of {', '.join(self.factors)}, "
                    f"found {name}={number}; the data in {self.folder} have no other factor"
                )
        sizes = {name: other.get(name, 1) for name in self.factors}
        least = sum(sizes.values()) + 1
        if latents < least:
            named = ", ".join((*self.factors, INTRINSIC))
            raise InputError(
                f"expected {least} or more latents for the factors {named}, "
                f"found {latents}; raise the number of latents"
            )
        return GraphicsCode(sizes, intrinsic=latents - least + 1)

    def count(self, split: str, varying: str) -> int:
        """Minibatches of a type."""
        return sum(shard.minibatches for shard in self._listed(split, varying))

    def counts(self, split: str) -> dict[str, int]:
        """Minibatches of each type, zeros included."""
        return {varying: self.count(split, varying) for varying in self.types}

    def minibatch(self, split: str, varying: str, index: int) -> Minibatch:
        """One minibatch, read as one slice of its shard.

        Raises:
            IndexError: The type has no minibatch of this number.
        """
        if index >= 0:
            left = index
            for shard in self._listed(split, varying):
                if left < shard.minibatches:
                    return self._slice(shard, left)
                left -= shard.minibatches
        raise IndexError(
            f"{split} has {self.count(split, varying)} minibatches of {varying}, got index {index}"
        )

    def minibatches(self, split: str) -> Iterator[Minibatch]:
        """Every minibatch of a split, type by type."""
        for varying in self.types:
            for index in range(self.count(split, varying)):
                yield self.minibatch(split, varying, index)

    def blocks(self, split: str) -> Iterator[tuple[str, Block]]:
        """The type and contents of every shard of a split, one in memory at a time.

        Raises:
            InputError: A shard whose bytes are not those that were written.
        """
        for shard in self._all(split):
            yield shard.varying, self.block(shard)

    def block(self, shard: Shard) -> Block:
        """The contents of one shard.

        Raises:
            InputError: Its bytes are not those that were written.
        """
        handle = self._open(shard)
        return Block(*(handle.get_tensor(name) for name in Block._fields))

    def load(self, split: str) -> dict[str, Block]:
        """All minibatches of each type in memory; a type without any has empty tensors.

        Raises:
            InputError: A shard whose bytes are not those that were written, or too little memory.
        """
        found = {}
        side, size = self.side, self.size
        for varying in self.types:
            shards = self._listed(split, varying)
            if len(shards) == 1:
                found[varying] = self.block(shards[0])
                continue
            m = sum(shard.minibatches for shard in shards)
            try:
                whole = Block(
                    torch.empty(m, size, side, side, dtype=torch.uint8),
                    torch.empty(m, size, len(self.factors)),
                    torch.empty(m, size, dtype=torch.int64),
                )
            except RuntimeError:  # how PyTorch says that memory is out
                raise InputError(
                    f"expected {m * size * side**2 / 1e9:.1f} GB of memory for the {varying} "
                    f"minibatches of {self.folder}, found less; give a smaller set"
                ) from None
            start = 0
            for shard in shards:  # filled in place: never twice the set in memory
                for part, read in zip(whole, self.block(shard), strict=True):
                    part[start : start + shard.minibatches] = read
                start += shard.minibatches
            found[varying] = whole
        return found

    def pixels(
        self, split: str, device: torch.device | str = "cpu"
    ) -> UInt8[Tensor, "minibatches images height width"]:
        """All images of a split on a device, type by type as :meth:`counts` has them.

        Each shard is read, or rendered, into its place, so that the set is never twice in memory;
        a plan keeps its images there and nowhere else.

        Raises:
            InputError: A shard whose bytes are not those that were written, or too little memory.
        """
        shards, side, size = self._all(split), self.side, self.size
        m = sum(shard.minibatches for shard in shards)
        try:
            whole = torch.empty(m, size, side, side, dtype=torch.uint8, device=device)
        except RuntimeError:  # how PyTorch says that memory is out
            raise InputError(
                f"expected {m * size * side**2 / 1e9:.1f} GB of memory on {device} for the images "
                f"of {self.folder}, found less; give a smaller set"
            ) from None
        for shard, place in zip(shards, whole.split([s.minibatches for s in shards]), strict=True):
            handle = self._open(shard)
            if isinstance(handle, Rendering):
                handle.move(place)
            else:
                place.copy_(handle.get_tensor("pixels"))
        return whole

    def values(self, split: str) -> Float[Tensor, "minibatches images factors"]:
        """True values of the extrinsic factors of a split's images, in the order of :meth:`pixels`.

        What a set does not know is NaN.
        """
        parts = [self._open(shard).get_tensor("factors") for shard in self._all(split)]
        return torch.cat([torch.empty(0, self.size, len(self.factors)), *parts])

    def identities(
        self, split: str, *, without: Collection[str] = ()
    ) -> Int64[Tensor, " identities"]:
        """Everyone who is shown in a split, each once, in order; ``without`` these shards."""
        found = [torch.empty(0, dtype=torch.int64)]
        for shard in self._all(split):
            if shard.file not in without:
                identity: Tensor = self._open(shard).get_tensor("identity")
                found.append(identity)
        everyone: Tensor = torch.cat(found).unique()  # type: ignore[no-untyped-call]
        return everyone

    def verify(self) -> list[str]:
        """Names of the shards whose bytes are not those that were written."""
        shards = [shard for split in SPLITS for shard in self.manifest.shards[split]]
        damaged = [s.file for s in shards if digest(self.folder / s.file) != s.sha256]
        self._sound = {shard.file for shard in shards} - set(damaged)
        return damaged

    def _all(self, split: str) -> list[Shard]:
        return [shard for varying in self.types for shard in self._listed(split, varying)]

    def _listed(self, split: str, varying: str) -> list[Shard]:
        if (split, varying) not in self._shards:
            raise InputError(
                f"{self.folder}: expected a split of {', '.join(SPLITS)} and a type of "
                f"{', '.join(self.types)}, found {split} and {varying}; use one of those"
            )
        return self._shards[split, varying]

    def _open(self, shard: Shard) -> Any:
        if shard.file not in self._handles:
            path = self.folder / shard.file
            if shard.file not in self._sound and digest(path) != shard.sha256:
                raise InputError(
                    f"{path}: expected the bytes that were written, found others (its SHA-256 is "
                    f"not the manifest's); make or fetch the data again"
                )
            try:
                self._handles[shard.file] = safe_open(path, framework="pt")
            except SafetensorError as error:
                raise InputError(
                    f"{path}: expected safetensors, found {error}; make or fetch the data again"
                ) from None
        return self._handles[shard.file]

    def _slice(self, shard: Shard, index: int) -> Minibatch:
        handle = self._open(shard)
        block = Block(*(handle.get_slice(name)[index] for name in Block._fields))
        columns = dict(zip(self.factors, block.factors.unbind(-1), strict=True))
        return Minibatch(block.pixels, shard.varying, columns, block.identity)
