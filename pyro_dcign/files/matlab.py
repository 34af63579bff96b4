"""Numeric arrays of a MATLAB 5 file (.mat, the format up to v7), a part at a time.

Layout: a header of 128 bytes, then elements, each of a kind, a number of bytes and contents. A
compressed element holds one matrix; a matrix has elements for its class, shape, name and values, in
columns. Cells, structures, objects and functions are passed over, never built.
"""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.errors import need_file, refuse

_CLASSES = dict(enumerate(("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), 6))
_STORED = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4"), 1))
_STORED |= {9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX = 0x0800
_PIECE = 2**20
_MAX_VARIABLES = 256


@final
class _Bytes:
    """The contents of one element from front to back, inflated where they are compressed."""

    def __init__(self, file: BinaryIO, start: int, length: int, *, compressed: bool) -> None:
        self.file, self.at, self.left = file, start, length
        self.inflate = zlib.decompressobj() if compressed else None

    def take(self, n: int) -> bytearray:
        """The next ``n`` bytes.

        Raises:
            ValueError: There are fewer; also zlib.error.
        """
        found = bytearray()
        while len(found) < n:
            piece = self._piece(n - len(found))
            if not piece:
                raise ValueError(f"{n - len(found)} bytes less than it says")
            found += piece
        return found

    def end(self) -> None:
        """Raise ValueError unless a compressed element ends here, with its checksum."""
        if self.inflate is not None and len(self._piece(8)) == 8:  # padding is less
            raise ValueError("more bytes than it says")
        if self.inflate is not None and not self.inflate.eof:
            raise ValueError("a compressed array without its end")

    def _piece(self, most: int) -> bytes:
        most = min(most, _PIECE)
        if self.inflate is None:
            return self._stored(most)
        found = b""
        while not found and not self.inflate.eof:
            more = self.inflate.unconsumed_tail or self._stored(2**16)
            if not more:
                break
            found = self.inflate.decompress(more, most)
        return found

    def _stored(self, most: int) -> bytes:
        self.file.seek(self.at)
        found = self.file.read(min(most, self.left))
        self.at, self.left = self.at + len(found), self.left - len(found)
        return found


class _Place(NamedTuple):
    """Where a matrix lies, and in which order the bytes of its numbers stand."""

    file: BinaryIO
    start: int
    size: int
    compressed: bool
    order: str


@final
class Variable:
    """One numeric array of a file.

    Attributes:
        shape: Its sizes; the last axis is the slowest.
        dtype: Its class. Values may be stored in a smaller one.
    """

    def __init__(
        self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], place: _Place
    ) -> None:
        self.path, self.name, self.shape, self.dtype = path, name, shape, dtype
        self._place = place

    def read(self, columns: int | None = None) -> NDArray[Any]:
        """The first ``columns`` of the last axis, or all.

        Raises:
            InputError: A damaged file.
        """
        with undamaged(self.path):
            return self._read(columns)

    def _read(self, columns: int | None) -> NDArray[Any]:
        shape = self.shape if columns is None else (*self.shape[:-1], columns)
        data, *_ = _begun(self._place)
        kind, size, small = _tag(data, self._place.order)
        stored = np.dtype(self._place.order + _STORED.get(kind, "V1"))
        if stored.kind == "V" or not np.can_cast(stored, self.dtype, "safe"):
            raise ValueError(f"{self.name} of {self.dtype} stored as kind {kind}")
        if size != math.prod(self.shape) * stored.itemsize:
            raise ValueError(f"{size} bytes of {self.name} {self.shape}")
        wanted = math.prod(shape) * stored.itemsize
        content = data.take(wanted) if small is None else small[:wanted]
        if columns is None:
            data.end()
        values = np.frombuffer(content, stored).astype(self.dtype, copy=False)
        return values.reshape(shape, order="F")


@contextmanager
def variables(path: Path) -> Iterator[dict[str, Variable]]:
    """The numeric arrays of a file by name, of which only the headers have been read.

    Raises:
        InputError: No such file, or not an undamaged MATLAB 5 file.
    """
    need_file(path)
    with path.open("rb") as file:
        with undamaged(path):
            found = _listed(path, file)
        yield found


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged file into InputError."""
    try:
        yield
    except (ValueError, zlib.error) as error:
        raise refuse(path, "an undamaged MATLAB 5 file", error) from None


def _listed(path: Path, file: BinaryIO) -> dict[str, Variable]:
    length = path.stat().st_size
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(file.read(128)[124:])
    if order is None:
        raise ValueError("another header (where it is of MATLAB 7.3, save it with -v7)")
    found: dict[str, Variable] = {}
    at = 128
    for _ in range(_MAX_VARIABLES):
        if at == length:
            return found
        file.seek(at)
        kind, size = _words(file.read(8), order)
        at += 8
        if at + size > length:
            raise ValueError(f"an array that ends at {at + size} of {length} bytes")
        if kind in (_MATRIX, _COMPRESSED):
            place = _Place(file, at, size, kind == _COMPRESSED, order)
            _, number, shape, name = _begun(place)
            if number in _CLASSES:
                found[name] = Variable(path, name, shape, np.dtype(_CLASSES[number]), place)
        at += size
    raise ValueError(f"more than {_MAX_VARIABLES} arrays")


def _begun(place: _Place) -> tuple[_Bytes, int, tuple[int, ...], str]:
    """The bytes of a matrix from its values on; its class, shape and name."""
    data = _Bytes(place.file, place.start, place.size, compressed=place.compressed)
    order = place.order
    if place.compressed and _words(data.take(8), order)[0] != _MATRIX:
        raise ValueError("a compressed element without an array")
    flags = _content(data, order, 8)
    if len(flags) != 8:
        raise ValueError("an array without a class")
    flag = _words(flags, order)[0]
    number = 0 if flag & _COMPLEX else flag & 0xFF
    if number not in _CLASSES:
        return data, number, (), ""  # what follows is of another form
    sizes = np.frombuffer(_content(data, order, 8 * 4), order + "i4").tolist()
    if len(sizes) < 2 or min(sizes) < 0:
        raise ValueError(f"an array of shape {sizes}")
    return data, number, tuple(sizes), _content(data, order, 64).decode("latin-1")


def _words(content: bytes | bytearray, order: str) -> list[int]:
    """Two numbers of 32 bits."""
    if len(content) != 8:
        raise ValueError("less than a tag")
    return [int(n) for n in np.frombuffer(content, order + "u4")]


def _tag(data: _Bytes, order: str) -> tuple[int, int, bytearray | None]:
    """Kind and size of the next element, and its contents where they stand within the tag."""
    tag = data.take(8)
    first, size = _words(tag, order)
    if first >> 16:  # at most four bytes
        return first & 0xFFFF, first >> 16, tag[4 : 4 + (first >> 16)]
    return first, size, None


def _content(data: _Bytes, order: str, most: int) -> bytearray:
    """Contents of the next element, which is a small one."""
    _, size, small = _tag(data, order)
    if size > (most if small is None else 4):
        raise ValueError(f"an element of {size} bytes, not {most}")
    if small is not None:
        return small
    return data.take(size + -size % 8)[:size]
