"""A shard: minibatches of one type in one safetensors file, one minibatch contiguous."""

import hashlib
import math
from pathlib import Path
from typing import Any

from safetensors.torch import save

from pyro_dcign.datasets.manifest import Shard
from pyro_dcign.datasets.minibatch import Block
from pyro_dcign.errors import InputError, plain
from pyro_dcign.files import parse_json, write_whole

SHARD_BYTES = 32 * 2**20
SHARD_MINIBATCHES = 64
_MAX_HEADER = 65536
_SIZES = {"U8": 1, "F32": 4, "I64": 8}


def shard_length(side: int, size: int) -> int:
    """Minibatches in a full shard: at most 64, and about 32 MiB."""
    return max(1, min(SHARD_MINIBATCHES, SHARD_BYTES // (size * side * side)))


def write_shard(path: Path, varying: str, block: Block) -> Shard:
    """Write a shard whole or not at all; the same block gives the same bytes."""
    data = save({name: part.contiguous() for name, part in block._asdict().items()})
    write_whole(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return Shard(path.name, varying, len(block.pixels), digest, len(data))


def check_header(path: Path, shard: Shard, *, side: int, size: int, factors: int) -> None:
    """Check a shard's size, tensors, dtypes and shapes against the manifest, reading its header.

    Raises:
        InputError: The file is missing, truncated, or holds something else than was promised.
    """
    try:
        length = path.stat().st_size
        if length != shard.bytes:
            raise _refuse(path, f"{shard.bytes} bytes", f"{length}")
        header, start = _header(path, length)
    except FileNotFoundError:
        raise _refuse(path, "a shard", "none") from None
    m, most = shard.minibatches, shard_length(side, size)
    if m > most:
        raise _refuse(path, f"at most {most} minibatches a shard", f"{m}")
    expected: dict[str, tuple[str, list[int]]] = {
        "pixels": ("U8", [m, size, side, side]),
        "factors": ("F32", [m, size, factors]),
        "identity": ("I64", [m, size]),
    }
    for name in header:
        if name not in expected:
            raise _refuse(path, f"the tensors {', '.join(expected)}", ascii(name[:40]))
    spans = []
    for name, (dtype, shape) in expected.items():
        entry = header.get(name)
        if not isinstance(entry, dict):
            raise _refuse(path, f"a tensor {name}", "none")
        if (entry.get("dtype"), entry.get("shape")) != (dtype, shape):
            found = plain(f"{entry.get('dtype')} {entry.get('shape')}", 80)
            raise _refuse(path, f"{name} as {dtype} {shape}", found)
        span = entry.get("data_offsets")
        if not (isinstance(span, list) and len(span) == 2 and all(type(o) is int for o in span)):
            raise _refuse(path, f"data_offsets of {name}", plain(span, 80))
        if span[1] - span[0] != _SIZES[dtype] * math.prod(shape):
            raise _refuse(path, f"{name} to fill its shape", f"{span}")
        spans.append((span[0], span[1]))
    spans.sort()
    edges = [0, *(stop for _, stop in spans)]
    if [begin for begin, _ in spans] != edges[:-1] or start + edges[-1] != length:
        raise _refuse(path, "tensors that fill the file end to end", f"{spans}")


def _header(path: Path, length: int) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if length < 8 or not 2 <= size <= min(_MAX_HEADER, length - 8):
            raise _refuse(path, "a safetensors header", f"a length of {size}")
        try:
            header = parse_json(file.read(size))
        except ValueError as error:
            raise _refuse(path, "a safetensors header in JSON", plain(error, 160)) from None
    if not isinstance(header, dict):
        raise _refuse(path, "a safetensors header", type(header).__name__)
    header.pop("__metadata__", None)
    return header, 8 + size


def _refuse(path: Path, expected: str, found: str) -> InputError:
    return InputError(f"{path}: expected {expected}, found {found}; make or fetch the data again")
