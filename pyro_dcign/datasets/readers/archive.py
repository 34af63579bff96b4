"""Arrays of a NumPy archive (.npz), read row by row: headers checked first, nothing unpickled."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.datasets.plain import DAMAGE
from pyro_dcign.errors import InputError, need_file, refuse

SMALL = 512 * 2**20
"""Most bytes of an array that is read whole (labels; images are read in blocks)."""

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@final
class Array:
    """One array of an archive; rows are read from front to back."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self.path, self.name, self._info = path, info.filename.removesuffix(".npy"), info
        self._file = archive.open(info)
        version = np.lib.format.read_magic(self._file)
        if version not in _HEADERS:
            raise refuse(path, "npy version 1 or 2", f"{version} in {self.name}")
        self.shape, fortran, self.dtype = _HEADERS[version](self._file)
        size = math.prod(self.shape) * self.dtype.itemsize
        if self.dtype.hasobject or fortran or min(self.shape, default=0) < 0:
            raise refuse(path, f"numbers in C order in {self.name}", f"{self.dtype}")
        if self._file.tell() + size != info.file_size:
            raise refuse(
                path, f"{self.name} to fill its shape {self.shape}", f"{info.file_size} bytes"
            )
        self._row = 0

    def expect(self, kinds: str, shape: tuple[int | None, ...]) -> None:
        """Raise InputError unless the array has a dtype of these kinds and this shape."""
        fits = len(shape) == len(self.shape) and all(
            want in (None, found) for want, found in zip(shape, self.shape, strict=False)
        )
        if self.dtype.kind not in kinds or not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise refuse(
                self.path,
                f"{self.name} of kind {kinds} and shape ({wanted})",
                f"{self.dtype} {self.shape}",
            )

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows from ``start``, at or after the last ones read, to before ``stop``."""
        width = math.prod(self.shape[1:]) * self.dtype.itemsize
        with undamaged(self.path):
            left = (start - self._row) * width
            while left > 0:  # a compressed member has no other way forwards
                skipped = len(self._file.read(min(left, 2**24)))
                if not skipped:
                    raise EOFError("the array ends early")
                left -= skipped
            content = self._file.read((stop - start) * width)
            if len(content) != (stop - start) * width:
                raise EOFError("the array ends early")
        self._row = stop
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])

    def whole(self) -> NDArray[Any]:
        """The whole of a small array.

        Raises:
            InputError: More than 512 MiB.
        """
        if self._info.file_size > SMALL:
            raise refuse(self.path, f"{self.name} of at most {SMALL} bytes", self._info.file_size)
        return self.rows(0, self.shape[0])


@contextmanager
def archive(path: Path) -> Iterator[dict[str, Array]]:
    """The arrays of an archive by name.

    Raises:
        InputError: No such file, or not an undamaged archive of plain arrays.
    """
    need_file(path)
    with undamaged(path):
        opened = zipfile.ZipFile(path)
    with opened:
        with undamaged(path):
            members = [info for info in opened.infolist() if info.filename.endswith(".npy")]
            arrays = {}
            for info in members[:64]:
                try:
                    array = Array(path, opened, info)
                except InputError as error:
                    # dSprites carries a pickled member, metadata, which no one needs.
                    if "numbers in C order" not in str(error):
                        raise
                    continue
                arrays[array.name] = array
        yield arrays


def take(path: Path, arrays: dict[str, Array], name: str) -> Array:
    """An array by name, or InputError."""
    if name not in arrays:
        found = ", ".join(list(arrays)[:8]) or "none"
        raise refuse(path, f"an array of numbers called {name}", found)
    return arrays[name]


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged archive into InputError."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        what = f"{type(error).__name__} {error}"
        raise refuse(path, "an undamaged NumPy archive", what) from None
