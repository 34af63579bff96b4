"""Gathering the images of a source that minibatches show: one pass over it, kept in a scratch file.

Sources are often compressed and can only be read from front to back, while minibatches ask for
images in any order; a scratch file beside the result takes the difference, not the memory.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from pyro_dcign.datasets.progress import Progress
from pyro_dcign.datasets.readers.source import Grey, Source
from pyro_dcign.images import resized


@final
class Gathered:
    """Images by their number in the source, read back from the scratch file."""

    def __init__(self, file: BinaryIO, numbers: Int64[ndarray, " images"], side: int) -> None:
        self._file, self._numbers, self._side = file, numbers, side

    def __getitem__(self, numbers: Int64[ndarray, " images"]) -> Grey:
        side = self._side
        out = np.empty((len(numbers), side, side), np.uint8)
        for row, place in enumerate(np.searchsorted(self._numbers, numbers).tolist()):
            self._file.seek(place * side * side)
            out[row] = np.frombuffer(self._file.read(side * side), np.uint8).reshape(side, side)
        return out


@contextmanager
def gathered(
    source: Source,
    numbers: Int64[ndarray, " images"],
    *,
    side: int,
    beside: Path,
    quiet: bool = False,
) -> Iterator[Gathered]:
    """The images of these numbers at the given side, for as long as the ``with`` block lasts.

    Args:
        source: Where they come from.
        numbers: Rising, each once.
        side: Height and width to bring them to (bilinear, antialiased).
        beside: A folder on the disk that takes the scratch file.
        quiet: Show no progress.
    """
    with (
        tempfile.TemporaryFile(dir=beside) as file,
        Progress(len(numbers), "reading images", quiet=quiet) as progress,
    ):
        block = numbers // source.block
        for first in np.flatnonzero(np.diff(block, prepend=-1)):
            last = np.searchsorted(block, block[first], "right")
            wanted = numbers[first:last]
            start = int(wanted[0])
            pixels = source.read(start, int(wanted[-1]) + 1)[wanted - start]
            file.write(resized(torch.from_numpy(pixels), side).numpy().tobytes())
            progress.add(len(wanted))
        yield Gathered(file, numbers, side)
