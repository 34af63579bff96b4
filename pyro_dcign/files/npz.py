"""Arrays of a NumPy archive (.npz), read row by row: headers checked first, nothing unpickled."""

import io
import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.errors import InputError, need_file, plain, refuse

SMALL = 128 * 2**20
"""Most bytes of an array that is read whole (labels; images are read in blocks)."""

_MAX_DIRECTORY = 2**20  # the list of an archive's members
_PIECE = 2**20
_AGAIN = "write it again with numpy.savez"
_ORDER = "save numpy.ascontiguousarray of it"
_NUMBER = "number the names, as numpy.unique(names, return_inverse=True)[1] does, and save those"
_MAGIC = b"\x93NUMPY\x01\x00"  # version 1: later ones are for tables of many columns
_HEADER = re.compile(
    rb"\{'descr': ?'([<>|=]?[biuf][1248])', ?'fortran_order': ?(True|False), ?"
    rb"'shape': ?\(((?:\d{1,12}L?(?:, ?|(?=\)))){0,8})\),? ?\}\s*"
)


class _Directory(io.BufferedReader):
    """A file of which no more is read at once than a list of members should take."""

    def read(self, size: int | None = -1, /) -> bytes:
        all_ = size is None or size < 0
        found = super().read(_MAX_DIRECTORY + 1 if all_ else min(size or 0, _MAX_DIRECTORY + 1))
        if len(found) > _MAX_DIRECTORY:
            raise ValueError("a list of its members that is too long")
        return found


@final
class Array:
    """One array of an archive; rows are read from front to back.

    Raises:
        InputError: No plain numbers, or not as many as its shape says.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self.path, self.name = path, info.filename.removesuffix(".npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refuse(path, f"{self.name} stored or deflated", f"method {info.compress_type}")
        with undamaged(path):
            self._file = archive.open(info)
            magic = self._file.read(len(_MAGIC))
            header = self._file.read(int.from_bytes(self._file.read(2), "little"))
        # Not numpy.lib.format: it holds a header of any length and evaluates it as Python.
        found = _HEADER.fullmatch(header)
        if magic != _MAGIC or not found:
            shown = plain(header.decode("latin-1"), 80) or "none"
            text = any(kind in shown for kind in ("'<U", "'|S", "'|O", "'O'"))
            remedy = _NUMBER if text else _AGAIN
            raise refuse(
                path, f"numbers in {self.name}, an npy of version 1", f"header {shown}", remedy
            )
        with undamaged(path):
            self.dtype = np.dtype(found[1].decode())
        self.fortran = found[2] == b"True"
        self.shape = tuple(int(n) for n in re.findall(rb"\d+", found[3]))
        self.bytes = math.prod(self.shape) * self.dtype.itemsize
        if len(magic) + 2 + len(header) + self.bytes != info.file_size:
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
            words = {"u": "8-bit unsigned whole numbers", "iu": "whole numbers", "fiu": "numbers"}
            raise refuse(
                self.path,
                f"{self.name} of {words.get(kinds, kinds)} and shape ({wanted})",
                f"{self.dtype} {self.shape}",
                _AGAIN,
            )

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows from ``start``, at or after the last ones read, to before ``stop``.

        Raises:
            InputError: A damaged archive, or an array in Fortran's order, which has no rows.
        """
        if self.fortran and len(self.shape) > 1:
            raise refuse(self.path, f"numbers in C order in {self.name}", "Fortran's", _ORDER)
        width = math.prod(self.shape[1:]) * self.dtype.itemsize
        with undamaged(self.path):
            left = (start - self._row) * width
            while left > 0:  # a compressed member has no other way forwards
                skipped = len(self._file.read(min(left, _PIECE)))
                if not skipped:
                    raise EOFError("the array ends early")
                left -= skipped
            content = self._take((stop - start) * width)
        self._row = stop
        return content.view(self.dtype).reshape(stop - start, *self.shape[1:])

    def whole(self, most: int = SMALL) -> NDArray[Any]:
        """All of an array.

        Raises:
            InputError: A damaged archive, or more than ``most`` bytes.
        """
        if self.bytes > most:
            raise refuse(self.path, f"{self.name} of at most {most} bytes", self.bytes)
        with undamaged(self.path):
            content = self._take(self.bytes)
        return content.view(self.dtype).reshape(self.shape, order="F" if self.fortran else "C")

    def _take(self, size: int) -> NDArray[np.uint8]:
        found = np.empty(size, np.uint8)
        at = 0
        while at < size:  # in pieces: a stored member would be held twice
            piece = self._file.read(min(size - at, _PIECE))
            if not piece:
                raise EOFError("the array ends early")
            found[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        return found


@final
class Archive:
    """The arrays of an archive by name; each is looked at when it is asked for."""

    def __init__(self, path: Path, opened: zipfile.ZipFile) -> None:
        self.path, self._opened = path, opened
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in opened.infolist()
            if info.filename.endswith(".npy")
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all its arrays."""
        return tuple(self._members)

    def take(self, name: str) -> Array:
        """An array by name.

        Raises:
            InputError: None of this name, or no plain numbers.
        """
        if name not in self._members:
            raise refuse(self.path, f"an array {name}", ", ".join(self.names[:8]) or "none", _AGAIN)
        return Array(self.path, self._opened, self._members[name])


@contextmanager
def archive(path: Path) -> Iterator[Archive]:
    """An archive to read arrays from.

    Raises:
        InputError: No such file, or not an undamaged archive.
    """
    need_file(path)
    with path.open("rb", buffering=0) as raw, _Directory(raw) as file:
        with undamaged(path):
            opened = zipfile.ZipFile(file)
        with opened:
            yield Archive(path, opened)


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged archive into InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # zipfile raises whatever it stumbles over
        what = f"{type(error).__name__} {error}"
        raise refuse(path, "an undamaged NumPy archive", what) from None
