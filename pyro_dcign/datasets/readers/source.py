"""A source: labelled images in someone's format, read in order and a block at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray
from PIL import Image

from pyro_dcign.errors import InputError

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
        row: How a refusal names an image by its number.
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
    row: Callable[[int], str] = "image {} (from 0)".format

    def __len__(self) -> int:
        return len(self.who)


def as_stored(
    values: Float64[ndarray, " images"], name: str, row: Callable[[int], str]
) -> Float64[ndarray, " images"]:
    """Values as a store holds them, in 32 bits: what is equal there is equal here.

    Raises:
        InputError: Rounding that would change what they say: different values of a grid become one,
            or a value moves by a thousandth of the range.
    """
    stored = values.astype(np.float32).astype(np.float64)
    moved = np.abs(stored - values)
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    # Differences that 64 bits cannot be trusted with are no differences.
    merged = (steps > 1e-9 * np.abs(values[order][1:])) & (np.diff(stored[order]) == 0)
    few = int((steps > 0).sum()) < _GRID
    if few and merged.any():
        k = int(np.flatnonzero(merged)[0])
        rows = [int(order[k]), int(order[k + 1])]
    elif len(values) and moved.max() > 1e-3 * np.ptp(values):
        rows = [int(moved.argmax())]
    else:
        return stored
    said = " and ".join(f"{values[n]:.17g} in {row(n)}" for n in rows)
    raise InputError(
        f"expected values of {name} that 32 bits tell apart, found {said}, stored as "
        f"{stored[rows[0]]:.9g}; subtract an offset, or use a larger unit"
    )


_GRID = 1000  # a factor with more different values is continuous


def grey(pixels: UInt8[ndarray, "images height width 3"]) -> Grey:
    """Luma of colour images, as of every picture: see :mod:`pyro_dcign.files`."""
    images, height, width, _ = pixels.shape
    stacked = Image.fromarray(pixels.reshape(images * height, width, 3))
    return np.asarray(stacked.convert("L")).reshape(images, height, width)


def grid(sizes: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Indices of a full grid in row-major order, a flat array for each axis."""
    axes = np.indices(tuple(sizes.values())).reshape(len(sizes), -1)
    return dict(zip(sizes, axes.astype(np.int64), strict=True))
