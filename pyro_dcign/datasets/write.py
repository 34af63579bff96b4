"""Writing a store: into a hidden folder beside it, which takes its name when all is there."""

import importlib.util
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, final

import torch
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.manifest import (
    FILE,
    MAX_FACTORS,
    MAX_SIDE,
    MAX_SIZE,
    SPLITS,
    Manifest,
    Shard,
    check_factor_names,
    is_type,
)
from pyro_dcign.datasets.minibatch import Block, Minibatch
from pyro_dcign.datasets.shard import check_header, shard_length, write_shard
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.files import digest, write_whole
from pyro_dcign.varying import in_order, standard_types

if importlib.util.find_spec("fcntl"):
    import fcntl
else:  # Windows has no advisory locks
    fcntl = None  # type: ignore[assignment]

_RECIPE = "recipe.json"
_DIGESTS = "digests"  # a line a finished shard, as sha256sum writes it


@final
class Writer(AbstractContextManager["Writer"]):
    """Streams minibatches into a new store; memory holds one unfinished shard of each type.

    Leaving the ``with`` block cleanly moves the whole store to ``folder`` in one step. Leaving it
    by an exception removes everything, or with ``resume`` keeps the finished shards for a
    next writer of the same recipe.

    Args:
        folder: Where the store is to appear; absent or empty.
        side: Height and width of the images, in pixels.
        size: Images in a minibatch.
        factors: Range of each extrinsic factor, in the order of the graphics code.
        recipe: How the set was made; anything that JSON holds.
        labelled: Whether the true factors are known.
        tolerance: How far a held factor may stray within a minibatch.
        resume: Keep and reuse finished shards; they must depend on the recipe alone.

    Raises:
        InputError: The folder holds something, or the numbers are outside the format's limits.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        side: int,
        size: int,
        factors: Mapping[str, FactorRange],
        recipe: Mapping[str, Any],
        labelled: bool = True,
        tolerance: float = 0.0,
        resume: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.side, self.size, self.factors = side, size, dict(factors)
        self.recipe, self.labelled, self.tolerance = dict(recipe), labelled, tolerance
        self.resume = resume
        check_factor_names(tuple(self.factors))
        for what, value, low, high in (
            ("side", side, 1, MAX_SIDE),
            ("size of minibatches", size, 2, MAX_SIZE),
            ("number of extrinsic factors", len(self.factors), 0, MAX_FACTORS),
        ):
            if not low <= value <= high:
                raise InputError(
                    f"expected a {what} from {low} to {high}, found {value}; change it"
                )
        self.partial = partial_folder(self.folder)
        self._waiting: dict[tuple[str, str], list[Block]] = {}
        self._shards: dict[tuple[str, str], dict[int, Shard]] = {}
        self._written: set[str] = set()
        self._lock: int | None = None

    def __enter__(self) -> "Writer":
        check_vacant(self.folder)
        self.partial.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.partial, self.folder)
        check_vacant(self.folder)
        recipe = json.dumps(self.recipe, sort_keys=True)
        note = self.partial / _RECIPE
        if not (self.resume and note.is_file() and note.read_bytes() == recipe.encode()):
            for path in self.partial.iterdir():
                path.unlink()
        note.write_text(recipe)
        digests = self.partial / _DIGESTS
        if digests.is_file():
            self._written = set(digests.read_text(errors="replace").splitlines())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            keep = self.resume and any(self.partial.glob("*.safetensors"))
            if self.partial.is_dir() and not keep:
                shutil.rmtree(self.partial)
            if self._lock is not None:
                os.close(self._lock)

    def add(self, split: str, minibatch: Minibatch) -> None:
        """Append one minibatch to its type; full shards go to the disk.

        Raises:
            InputError: A type that is no set of the store's factors.
        """
        if not is_type(minibatch.varying, self.factors):
            raise InputError(
                f"expected minibatches of {', '.join(standard_types(self.factors))}, or factors "
                f"joined by +, found {minibatch.varying!r}; name their type so"
            )
        columns = [minibatch.factors[name] for name in self.factors]
        factors = torch.stack(columns, -1) if columns else torch.empty(len(minibatch), 0)
        parts = (minibatch.pixels, factors, minibatch.identity)
        waiting = self._waiting.setdefault((split, minibatch.varying), [])
        waiting.append(Block(*(part.unsqueeze(0) for part in parts)))
        if len(waiting) == shard_length(self.side, self.size):
            self._flush(split, minibatch.varying)

    def finished(self, split: str, varying: str, number: int, minibatches: int) -> bool:
        """Whether an earlier writer finished this shard; if so it is taken over."""
        path = self.partial / shard_name(split, varying, number)
        if not path.is_file():
            return False
        shard = Shard(path.name, varying, minibatches, digest(path), path.stat().st_size)
        if _line(shard) not in self._written:
            return False  # damaged since, or half-written: it is rendered again
        try:
            check_header(path, shard, side=self.side, size=self.size, factors=len(self.factors))
        except InputError:
            return False
        self._place(split, varying, number, shard)
        return True

    def shard(self, split: str, varying: str, number: int, block: Block) -> None:
        """Write one whole shard; the numbers of a type are 0, 1, … without gaps in the end."""
        expected = (self.size, self.side, self.side)
        if tuple(block.pixels.shape[1:]) != expected:
            raise InputError(
                f"expected minibatches of {expected[0]} images of {self.side} by {self.side}, "
                f"found {tuple(block.pixels.shape[1:])}; form them so"
            )
        path = self.partial / shard_name(split, varying, number)
        shard = write_shard(path, varying, block)
        with (self.partial / _DIGESTS).open("a") as file:
            file.write(_line(shard) + "\n")
        self._place(split, varying, number, shard)

    def _place(self, split: str, varying: str, number: int, shard: Shard) -> None:
        assert split in SPLITS, split
        assert is_type(varying, self.factors), varying
        self._shards.setdefault((split, varying), {})[number] = shard

    def _flush(self, split: str, varying: str) -> None:
        waiting = self._waiting.pop((split, varying))
        block = Block(*(_cat(parts) for parts in zip(*waiting, strict=True)))
        number = len(self._shards.get((split, varying), {}))
        self.shard(split, varying, number, block)

    def _in_order(self, split: str, varying: str) -> list[Shard]:
        placed = self._shards.get((split, varying), {})
        assert set(placed) == set(range(len(placed))), f"gaps among the shards {sorted(placed)}"
        return [placed[number] for number in range(len(placed))]

    def _finish(self) -> None:
        for split, varying in list(self._waiting):
            self._flush(split, varying)
        if not self._shards:
            raise InputError("expected minibatches to write, found none; ask for one or more")
        types = in_order([varying for _, varying in self._shards], self.factors)
        shards = {
            split: tuple(s for varying in types for s in self._in_order(split, varying))
            for split in SPLITS
        }
        manifest = Manifest(
            side=self.side,
            size=self.size,
            factors=self.factors,
            shards=shards,
            recipe=self.recipe,
            labelled=self.labelled,
            tolerance=self.tolerance,
        )
        known = {shard.file for listed in shards.values() for shard in listed}
        for path in self.partial.iterdir():
            if path.name not in known:  # the recipe's note, and leftovers of an interrupted write
                path.unlink()
        write_whole(self.partial / FILE, manifest.to_json())
        self.partial.rename(self.folder)


def write_store(
    folder: Path | str,
    minibatches: Iterable[tuple[str, Minibatch]],
    *,
    factors: Mapping[str, FactorRange],
    recipe: Mapping[str, Any],
    labelled: bool = True,
    tolerance: float = 0.0,
) -> Store:
    """Write (split, minibatch) pairs as a new store, whole or not at all; memory stays bounded.

    Side and size are those of the first minibatch.

    Raises:
        InputError: No minibatches, minibatches of different shapes, or a folder that holds
            something.
    """
    stream = iter(minibatches)
    split, first = next(stream, (None, None))
    if split is None or first is None:
        raise InputError("expected minibatches to write, found none; ask for one or more")
    with Writer(
        folder,
        side=first.pixels.shape[-1],
        size=len(first),
        factors=factors,
        recipe=recipe,
        labelled=labelled,
        tolerance=tolerance,
    ) as writer:
        writer.add(split, first)
        for split, minibatch in stream:
            writer.add(split, minibatch)
    return Store(folder)


def shard_name(split: str, varying: str, number: int) -> str:
    """File name of a type's shard; what ``+`` joins in a type is joined by ``-`` in its file."""
    return f"{split}-{varying.replace('+', '-')}-{number:05d}.safetensors"


def partial_folder(folder: Path) -> Path:
    """Where a store is written until it is complete."""
    return folder.with_name(f".{folder.name}.partial")


def check_vacant(folder: Path) -> None:
    """Raise InputError unless a store can appear at this path."""
    if folder.name in ("", ".."):
        raise InputError(f"expected the name of a new folder, found {folder}; give one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"expected {folder} to be absent or empty, found it in use; "
            f"give another folder, or remove it first"
        )


def _line(shard: Shard) -> str:
    return f"{shard.sha256}  {shard.file}"


def _lock(partial: Path, folder: Path) -> int | None:
    """Hold the partial folder against a second writer; the system lets go when we end."""
    if fcntl is None:
        return None
    held = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise InputError(
            f"expected to be alone in writing {folder}, found another process at it; "
            f"wait for it, or give another folder"
        ) from None
    return held


def _cat(parts: tuple[Tensor, ...]) -> Tensor:
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) > 1:
        raise InputError(f"expected minibatches of one shape, found {shapes}; form them so")
    return torch.cat(parts)
