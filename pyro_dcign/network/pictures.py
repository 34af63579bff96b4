"""Pictures that a network decoded: shown in a notebook, saved as PNG or GIF."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pyro_dcign.code import FactorRange, Latents
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images
from pyro_dcign.measures import Sweeps, frames, strip, write_pictures

_COLUMNS, _GAP, _SHOWN = 8, 2, 128


@final
class Pictures:
    """Decoded pictures: intensities in [0, 1] and the codes that they were decoded from.

    Attributes:
        images: (n, 1, height, width), on the CPU.
        latents: (n, latents).

    Example:
        >>> import pyro_dcign as dcign
        >>> people = dcign.load("faces", device="cpu").sample(2, prior="model")
        >>> len(people), people.images.shape[:2] == (2, 1), len(people[0])
        (2, True, 1)
    """

    def __init__(self, images: Images, latents: Latents) -> None:
        self.images, self.latents = images, latents

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: int | slice) -> "Pictures":
        if isinstance(which, int):
            which = range(len(self))[which]  # IndexError past the end
            which = slice(which, which + 1)
        return Pictures(self.images[which], self.latents[which])

    def __iter__(self) -> Iterator["Pictures"]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """(n, height, width), intensities in [0, 1]."""
        return np.array(self.images[:, 0].numpy(), dtype=dtype)

    def __repr__(self) -> str:
        height, width = self.images.shape[-2:]
        return f"Pictures({len(self)} of {height} × {width})"

    def _repr_png_(self) -> bytes:
        return _png(enlarged(self.sheet()))

    def sheet(self) -> Image.Image:
        """All of them in rows of eight, at the network's size."""
        height, width = self.images.shape[-2:]
        columns = min(_COLUMNS, len(self))
        rows = -(-len(self) // _COLUMNS)
        size = (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP)
        sheet = Image.new("L", size, 255)
        for i, tile in enumerate(self._tiles()):
            row, column = divmod(i, _COLUMNS)
            sheet.paste(tile, (column * (width + _GAP), row * (height + _GAP)))
        return sheet

    def save(self, path: Path | str) -> Path:
        """Write one sheet as PNG, or one after the other as an endless GIF.

        Raises:
            InputError: Another ending, or a folder that is not there.
        """
        path = writable(path)
        tiles = self._tiles() if path.suffix.lower() == ".gif" else [self.sheet()]
        write_pictures(tiles, path)
        return path

    def _tiles(self) -> list[Image.Image]:
        pixels = (self.images[:, 0] * 255).round().clamp(0, 255).to(torch.uint8)
        return [Image.fromarray(tile) for tile in pixels.numpy()]


@final
class Sweep:
    """A picture whose factors were moved one at a time: a row for each factor.

    Attributes:
        original: The picture as the network sees it, (1, 1, height, width).
        decoded: What its own code decodes to.
        views: By factor, its values and the view at each, (values, 1, height, width).

    Example:
        >>> import pyro_dcign as dcign
        >>> net = dcign.load("faces", device="cpu")
        >>> net.sweep(net.sample(1, prior="model"), azimuth=range(-60, 61, 30))
        Sweep(azimuth at 5 values)
    """

    def __init__(
        self,
        original: Images,
        decoded: Images,
        views: Sweeps,
        ranges: Mapping[str, FactorRange],
    ) -> None:
        self.original, self.decoded, self.views, self._ranges = original, decoded, views, ranges

    def __repr__(self) -> str:
        rows = (f"{name} at {len(values)} values" for name, (values, _) in self.views.items())
        return f"Sweep({', '.join(rows)})"

    def _repr_png_(self) -> bytes:
        return _png(strip(self.original, self.decoded, self.views, self._ranges))

    def save(self, path: Path | str) -> Path:
        """Write a labelled strip as PNG, or an animation there and back as GIF.

        Raises:
            InputError: Another ending, or a folder that is not there.
        """
        path = writable(path)
        if path.suffix.lower() == ".gif":
            write_pictures(frames(self.original, self.views, self._ranges), path)
        else:
            write_pictures([strip(self.original, self.decoded, self.views, self._ranges)], path)
        return path


def writable(path: Path | str) -> Path:
    """The path of a picture to write.

    Raises:
        InputError: Neither PNG nor GIF, or a folder that is not there.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".gif"):
        raise InputError(f"a picture is FILE.png or FILE.gif, got {path}; change its ending")
    if not path.parent.is_dir():
        raise InputError(f"{path} is to be in a folder, {path.parent} is none; make it first")
    return path


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture as a notebook shows it: small ones larger, by whole pixels."""
    times = max(1, _SHOWN // picture.height)
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
