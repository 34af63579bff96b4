"""Numeric datasets of an HDF5 file, read by a process of their own.

HDF5 is a large C library that a damaged file can crash, and make swell or run in circles: a chunk
inflates without a limit of its own. So another process reads, with a limit of memory (on Linux) and
of processor time, and the worst that a file can do is to end it. No link, virtual dataset or
external storage is followed to another file, and no filter is loaded from one.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.errors import InputError, need_file, refuse

_SCRIPT = Path(__file__).with_name("hdf5_process.py")
_ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # no filters from shared libraries
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


@final
class Dataset:
    """One dataset of a file that is open.

    Attributes:
        shape: Its sizes.
        dtype: Floats or whole numbers, little-endian.
    """

    def __init__(self, reader: "_Reader", number: int, shape: Sequence[int], dtype: str) -> None:
        self._reader, self._number = reader, number
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    def read(self, *parts: tuple[int, int]) -> NDArray[Any]:
        """The part from a start to before a stop on each of the first axes, all of the others.

        Raises:
            InputError: A damaged file.
        """
        wanted = [*parts, *((0, n) for n in self.shape[len(parts) :])]
        shape = [stop - start for start, stop in wanted]
        content = self._reader.ask([self._number, *wanted], math.prod(shape) * self.dtype.itemsize)
        return np.frombuffer(content, self.dtype).reshape(shape)


@contextmanager
def datasets(path: Path, *names: str) -> Iterator[list[Dataset]]:
    """Datasets of a file by name, in the order in which they are named.

    Raises:
        InputError: No such file, a damaged one, or no numbers of its own under one of the names.
    """
    need_file(path)
    # -P: neither a folder of downloads nor the package's own is a place to import from.
    command = [sys.executable, "-P", str(_SCRIPT), os.fspath(path.absolute()), *names]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_ENVIRONMENT},
    ) as process:
        try:
            reader = _Reader(path, process)
            listed = reader.head()["datasets"]
            yield [Dataset(reader, k, shape, dtype) for k, (shape, dtype) in enumerate(listed)]
        finally:
            process.kill()


@final
class _Reader:
    """The process, asked one thing at a time."""

    def __init__(self, path: Path, process: "subprocess.Popen[bytes]") -> None:
        self.path, self.process = path, process

    def ask(self, request: Sequence[Any], size: int) -> bytes:
        """The bytes of a part of a dataset."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        self.head()
        content = self.process.stdout.read(size)
        if len(content) != size:
            raise self._ended()
        return content

    def head(self) -> dict[str, Any]:
        """The first line of an answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise refuse(self.path, "an undamaged HDF5 file", found["error"])
        return found

    def _ended(self) -> InputError:
        status = self.process.wait()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return refuse(
            self.path, "an undamaged HDF5 file", f"one that ends the HDF5 library ({how})"
        )
