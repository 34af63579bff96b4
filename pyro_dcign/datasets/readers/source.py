"""A source: labelled images in someone's format, read in order and a block at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray
from PIL import Image

Grey = UInt8[ndarray, "images height width"]

MAX_PICTURE = 8192
"""Largest height or width of the images of a set, in pixels; a store's are smaller."""

BLOCK_BYTES = 2**24
"""Most bytes of images that a source reads at once, unless one image is larger."""


@dataclass(frozen=True)
class Column:
    """One natural factor of a set: its value for each image, and its period if it is a circle."""

    values: Float64[ndarray, " images"]
    period: float | None = None


@dataclass(frozen=True)
class Source:
    """Labelled images.

    Attributes:
        columns: Natural factors by name. Those that the graphics code leaves out join the identity.
        who: Number of the thing shown in each image; the sets are split by it.
        default: Factors of the graphics code unless others are asked for.
        side: Height and width to store unless another is asked for.
        read: Grey images from one number to another (past the last); called with rising numbers.
        block: Most images to read at once.
        test: Which images the set's makers keep for the test, if they say.
        apart: Whether train and test show different things (``who``), or, in sets of a few shapes,
            only different identities (shape, colour and whatever else is no factor).
    """

    columns: Mapping[str, Column]
    who: Int64[ndarray, " images"]
    default: tuple[str, ...]
    side: int
    read: Callable[[int, int], Grey]
    block: int = 1
    test: Bool[ndarray, " images"] | None = None
    apart: bool = True

    def __len__(self) -> int:
        return len(self.who)


def grey(pixels: UInt8[ndarray, "images height width 3"]) -> Grey:
    """Luma of colour images, as of every picture: see :mod:`pyro_dcign.files`."""
    images, height, width, _ = pixels.shape
    stacked = Image.fromarray(pixels.reshape(images * height, width, 3))
    return np.asarray(stacked.convert("L")).reshape(images, height, width)


def grid(sizes: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Indices of a full grid in row-major order, a flat array for each axis."""
    axes = np.indices(tuple(sizes.values())).reshape(len(sizes), -1)
    return dict(zip(sizes, axes.astype(np.int64), strict=True))
