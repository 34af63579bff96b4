"""The authors' face minibatches: files of one Torch7 FloatTensor each, without labels.

Only this object of Torch7's serialisation is read; nothing in a file is executed.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from pyro_dcign import __version__
from pyro_dcign.code import INTRINSIC, FactorRange
from pyro_dcign.datasets.manifest import MAX_SIDE, MAX_SIZE
from pyro_dcign.datasets.minibatch import Minibatch
from pyro_dcign.datasets.progress import Progress
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import write_store
from pyro_dcign.errors import need_folder, refuse
from pyro_dcign.files import content

TYPES = {"azimuth": "AZ", "elevation": "EL", "light": "LIGHT_AZ", INTRINSIC: "SHAPE"}
PARTS = {"train": "FT_training", "test": "FT_test"}
_NAME = re.compile(r"batch(\d{1,9})")
_OBJECT = 4  # Torch7's tag of a class instance
_MAX_BYTES = 64 * 2**20  # the authors' have 2
_SLACK = 1e-3  # beyond [0, 1], of rounding


def bring_torch7(path: Path, out: Path, *, quiet: bool = False) -> Store:
    """Import the folder of th_AZ_VARIED, th_EL_VARIED, th_LIGHT_AZ_VARIED and th_SHAPE_VARIED.

    The store is unlabelled: its factors are NaN, their ranges 0 to 0, and each minibatch has
    identities of its own.

    Raises:
        InputError: A folder is missing, or a file is no minibatch of grey images.
    """
    need_folder(path)
    listed: list[tuple[str, str, Path]] = []
    for split, part in PARTS.items():
        for varying, name in TYPES.items():
            folder = path / f"th_{name}_VARIED" / part
            need_folder(folder)
            found = [(int(m[1]), f) for f in folder.iterdir() if (m := _NAME.fullmatch(f.name))]
            listed.extend((split, varying, file) for _, file in sorted(found))
    if not listed:
        raise refuse(path, "files batch1, batch2, …", "none")
    unknown = FactorRange(0.0, 0.0)

    def minibatches() -> Iterator[tuple[str, Minibatch]]:
        shape: tuple[int, ...] | None = None
        with Progress(len(listed), "reading minibatches", unit="files", quiet=quiet) as progress:
            for number, (split, varying, file) in enumerate(listed):
                pixels = _pixels(file)
                shape = shape or pixels.shape
                if pixels.shape != shape:
                    raise refuse(file, f"a tensor of {shape}, like the others", pixels.shape)
                n = len(pixels)
                own = torch.arange(n) if varying == INTRINSIC else torch.zeros(n, dtype=torch.int64)
                nothing = torch.full((n,), torch.nan)
                factors = {name: nothing for name in TYPES if name != INTRINSIC}
                images = torch.from_numpy(pixels)
                yield split, Minibatch(images, varying, factors, own + number * n)
                progress.add(1)

    return write_store(
        out,
        minibatches(),
        factors={name: unknown for name in TYPES if name != INTRINSIC},
        recipe={"imported": "torch7", "from": path.name, "version": __version__},
        labelled=False,
    )


def _pixels(path: Path) -> ndarray:
    """8-bit images of a minibatch."""
    tensor = read_tensor(path)
    if tensor.ndim == 4 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    fits = tensor.ndim == 3 and 2 <= len(tensor) <= MAX_SIZE and 8 <= tensor.shape[1] <= MAX_SIDE
    if not fits or tensor.shape[1] != tensor.shape[2]:
        raise refuse(path, "a tensor of images (n, 1, side, side)", tensor.shape)
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # false for NaN as well
        raise refuse(path, "intensities from 0 to 1", f"{low:g} to {high:g}")
    return np.asarray((tensor.clip(0, 1) * 255).round(), np.uint8)


def read_tensor(path: Path) -> Float32[ndarray, "..."]:
    """The FloatTensor that a file of Torch7's binary serialisation holds.

    Layout: the tag 4, an index, "V 1", "torch.FloatTensor", the number of dimensions, sizes,
    strides and the offset (from 1) as 64-bit numbers; then in the same way its torch.FloatStorage,
    a length and 32-bit floats. Text is preceded by its length; all is little-endian.

    Raises:
        InputError: Anything else, or another length than the sizes ask for.
    """
    reader = _Reader(path, content(path, _MAX_BYTES))
    length = len(reader.content)
    reader.header("torch.FloatTensor")
    dimensions = reader.number("<i")
    if not 1 <= dimensions <= 8:
        raise refuse(path, "1 to 8 dimensions", dimensions)
    sizes, strides = ([reader.number("<q") for _ in range(dimensions)] for _ in range(2))
    offset = reader.number("<q") - 1
    reader.header("torch.FloatStorage")
    stored = reader.number("<q")
    # Bounded by the file before any product: sizes may be huge numbers.
    if not all(0 < size <= length for size in sizes) or not all(0 <= s <= length for s in strides):
        raise refuse(path, "sizes and strides within the file", f"{sizes} {strides}")
    contiguous: list[int] = []
    step = 1
    for size in reversed(sizes):
        contiguous.insert(0, step)
        step *= size
    if strides != contiguous or offset < 0 or offset + step > stored:
        raise refuse(path, f"a contiguous tensor within {stored} floats", f"{sizes} {strides}")
    values = np.frombuffer(reader.rest(4 * stored), "<f4")[offset : offset + step]
    return values.reshape(sizes).astype(np.float32)


@final
class _Reader:
    """Walks through the bytes of a file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content, self.at = path, content, 0

    def take(self, n: int) -> bytes:
        if n < 0 or self.at + n > len(self.content):
            raise refuse(self.path, f"{n} more bytes", f"{len(self.content) - self.at}")
        self.at += n
        return self.content[self.at - n : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def text(self) -> bytes:
        length = self.number("<i")
        if not 0 <= length <= 64:
            raise refuse(self.path, "a short name", f"{length} bytes of one")
        return self.take(length)

    def header(self, name: str) -> None:
        tag = self.number("<i")
        if tag != _OBJECT:
            raise refuse(self.path, f"a {name} (tag {_OBJECT})", f"tag {tag}")
        self.number("<i")  # index of the object, for references to it
        version = self.text()
        found = self.text() if version.startswith(b"V ") else version
        if found != name.encode():
            raise refuse(self.path, f"a {name}", repr(found))

    def rest(self, n: int) -> bytes:
        if self.at + n != len(self.content):
            raise refuse(self.path, f"{n} bytes of values", f"{len(self.content) - self.at}")
        return self.take(n)
