"""smallNORB (LeCun, Huang and Bottou 2004): photographs of 50 toys with true pose and light.

Files called .mat that are not MATLAB's: a magic number, the number of dimensions, at least three
sizes, then the values, all little-endian.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.datasets.manifest import MAX_IMAGES
from pyro_dcign.datasets.readers.source import BLOCK_BYTES, MAX_PICTURE, Column, Grey, Source
from pyro_dcign.errors import need_file, need_folder, refuse

MAGIC: dict[int, np.dtype[Any]] = {507333717: np.dtype("u1"), 507333716: np.dtype("<i4")}
PARTS = ("training", "testing")
_NAME = re.compile(r"smallnorb-.*-(training|testing)-(dat|cat|info)\.mat")


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The folder of the six unpacked files; the left camera's images.

    Azimuth in degrees (20 apart, full circle), elevation in degrees (30 to 70), light 0 to 5. The
    makers' split holds: 25 toys to train, 25 others to test.
    """
    need_folder(path)
    found = {m.groups(): file for file in path.iterdir() if (m := _NAME.fullmatch(file.name))}
    with ExitStack() as stack:
        pictures, toys, infos, tests = [], [], [], []
        for part in PARTS:
            opened = {}
            for what in ("dat", "cat", "info"):
                if (part, what) not in found:
                    raise refuse(
                        path,
                        f"a file smallnorb-…-{part}-{what}.mat",
                        "none",
                        "fetch and unpack (gunzip) all six files",
                    )
                need_file(found[part, what])
                file = stack.enter_context(found[part, what].open("rb"))
                opened[what] = (found[part, what], file, *_header(found[part, what], file))
            dat_path, dat, kind, shape = opened["dat"]
            pairs = len(shape) == 4 and shape[1] == 2 and shape[2] == shape[3] <= MAX_PICTURE
            if kind != np.uint8 or not pairs:
                raise refuse(dat_path, "pairs of square images as uint8", f"{kind} {shape}")
            n = shape[0]
            category = _table(*opened["cat"], shape=(n,))
            info = _table(*opened["info"], shape=(n, 4))
            pictures.append((dat_path, dat, dat.tell(), n, shape[2]))
            toys.append(category.astype(np.int64) * 10 + info[:, 0])
            infos.append(info)
            tests.append(np.full(n, part == "testing"))
        if pictures[0][4] != pictures[1][4]:
            raise refuse(path, "images of one size", f"{pictures[0][4]} and {pictures[1][4]}")
        info = np.concatenate(infos).astype(np.float64)

        def read(start: int, stop: int) -> Grey:
            return np.stack([_picture(pictures, k) for k in range(start, stop)])

        yield Source(
            {
                "azimuth": Column(info[:, 2] * 10, 360.0),
                "elevation": Column(30 + 5 * info[:, 1]),
                "light": Column(info[:, 3]),
            },
            np.concatenate(toys),
            ("azimuth", "elevation", "light"),
            side=pictures[0][4],
            read=read,
            block=max(1, BLOCK_BYTES // pictures[0][4] ** 2),
            test=np.concatenate(tests),
        )


def _header(path: Path, file: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape, checked against the file's size."""
    head = np.frombuffer(file.read(8).ljust(8, b"\0"), "<i4")
    if int(head[0]) not in MAGIC or not 1 <= head[1] <= 4:
        raise refuse(path, f"a magic number of {' or '.join(map(str, MAGIC))}", head.tolist())
    kind, dimensions = MAGIC[int(head[0])], int(head[1])
    listed = file.read(4 * max(3, dimensions)).ljust(4 * max(3, dimensions), b"\0")
    sizes = np.frombuffer(listed, "<i4")[:dimensions].tolist()
    if not all(0 < size <= MAX_IMAGES for size in sizes):
        raise refuse(path, f"{dimensions} sizes", sizes)
    expected = file.tell() + math.prod(sizes) * kind.itemsize
    if path.stat().st_size != expected:
        raise refuse(path, f"{expected} bytes", path.stat().st_size)
    return kind, tuple(sizes)


def _table(
    path: Path,
    file: BinaryIO,
    kind: np.dtype[Any],
    found: tuple[int, ...],
    *,
    shape: tuple[int, ...],
) -> NDArray[Any]:
    if kind.kind != "i" or found != shape:
        raise refuse(path, f"whole numbers {shape}", f"{kind} {found}")
    return np.frombuffer(file.read(math.prod(shape) * kind.itemsize), kind).reshape(shape)


def _picture(pictures: Sequence[tuple[Path, BinaryIO, int, int, int]], number: int) -> NDArray[Any]:
    """The left camera's image of this number; the testing set's come after the training set's."""
    for path, file, start, n, side in pictures:
        if number < n:
            file.seek(start + 2 * number * side * side)
            content = file.read(side * side)
            if len(content) != side * side:
                raise refuse(path, "whole images", f"{len(content)} bytes of one")
            return np.frombuffer(content, np.uint8).reshape(side, side)
        number -= n
    raise IndexError(number)
