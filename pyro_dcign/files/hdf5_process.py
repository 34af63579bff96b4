"""The process that reads an HDF5 file for :mod:`pyro_dcign.files.hdf5`; a script run by its path.

It is told a file and names of datasets, and answers each line of its input on its output: first the
shapes and types, then for each request ``[number, [start, stop], ...]`` the bytes of that part. It
imports nothing of the package, so that it starts fast and knows no more than it must.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

h5py: Any = import_module("h5py")

MEMORY = 2**30
"""Most bytes that a file may make this process take."""

SECONDS = 60
"""Most processor time of one answer."""


def _limit_memory() -> None:
    if resource is not None and sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def _limit_time() -> None:
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + SECONDS, hard))


def _dataset(file: Any, name: str) -> Any:
    """A dataset of plain numbers that lie in this file: no link may lead to another."""
    found = file
    for part in name.split("/"):
        if not isinstance(found, h5py.Group) or part not in found:
            raise ValueError(f"no {name} among {', '.join(list(found)[:8])}")
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"a link at {name}")
        found = found[part]
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.shape is None:
        raise ValueError(f"no numbers at {name}")
    if found.is_virtual or found.external:
        raise ValueError(f"numbers of another file at {name}")
    return found


def _serve(path: str, names: list[str]) -> None:
    with h5py.File(path, "r") as file:
        found = [_dataset(file, name) for name in names]
        _answer({"datasets": [[list(d.shape), d.dtype.newbyteorder("<").str] for d in found]})
        for line in sys.stdin:
            _limit_time()
            number, *parts = json.loads(line)
            dataset = found[number]
            values = dataset[tuple(slice(*part) for part in parts)]
            content = np.ascontiguousarray(values, dataset.dtype.newbyteorder("<")).tobytes()
            _answer({"bytes": len(content)}, content)


def _answer(head: dict[str, Any], content: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _limit_memory()
    _limit_time()
    try:
        _serve(sys.argv[1], sys.argv[2:])
    except Exception as error:  # h5py raises whatever HDF5 stumbles over
        _answer({"error": f"{type(error).__name__} {error}"})
