"""Cars3D (Reed et al. 2015): a .mat file a car, key ``im`` (H, W, 3, 24 azimuths, 4 elevations)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.datasets.manifest import MAX_IMAGES
from pyro_dcign.datasets.readers.source import Column, Grey, Source, grey, grid
from pyro_dcign.errors import need_folder, refuse
from pyro_dcign.files import variables

AZIMUTHS, ELEVATIONS = 24, 4
MAX_VIEW = 256  # pixels a side; the makers' have 128


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The folder of the car_….mat files. Azimuth in degrees; elevation is the makers' 0 to 3."""
    need_folder(path)
    cars = sorted(file for file in path.iterdir() if file.suffix == ".mat")
    if not cars:
        raise refuse(path, "a .mat file for each car", "none", "give the folder that holds them")
    if len(cars) * AZIMUTHS * ELEVATIONS > MAX_IMAGES:
        raise refuse(path, f"at most {MAX_IMAGES} images", f"{len(cars)} cars")
    shapes = [_shape(car) for car in cars]
    for car, shape in zip(cars, shapes, strict=True):
        if shape != shapes[0]:
            raise refuse(car, f"im as {shapes[0]}, like the others", shape)
    axes = grid({"car": len(cars), "azimuth": AZIMUTHS, "elevation": ELEVATIONS})

    @lru_cache(maxsize=1)
    def load(number: int) -> NDArray[np.uint8]:
        found = _load(cars[number])
        views: NDArray[np.uint8] = np.ascontiguousarray(found.transpose(3, 4, 0, 1, 2))
        return views.reshape(AZIMUTHS * ELEVATIONS, *shapes[0][:3])

    def read(start: int, stop: int) -> Grey:
        car, view = divmod(start, AZIMUTHS * ELEVATIONS)
        return grey(load(car)[view : view + stop - start])

    yield Source(
        {
            "azimuth": Column(axes["azimuth"] * (360 / AZIMUTHS), 360.0),
            "elevation": Column(axes["elevation"].astype(np.float64)),
        },
        axes["car"],
        ("azimuth", "elevation"),
        side=min(shapes[0][:2]),
        read=read,
        block=AZIMUTHS * ELEVATIONS,
    )


def _shape(path: Path) -> tuple[int, ...]:
    """Shape of ``im``, from the file's header alone."""
    with variables(path) as found:
        if "im" not in found:
            raise refuse(path, "an array im", ", ".join(list(found)[:8]) or "none")
        shape, dtype = found["im"].shape, found["im"].dtype
    fits = len(shape) == 5 and shape[2:] == (3, AZIMUTHS, ELEVATIONS)
    if not fits or dtype != np.uint8 or not 1 <= min(shape) <= max(shape) <= MAX_VIEW:
        raise refuse(
            path, f"im as uint8 (H, W, 3, 24, 4), H and W up to {MAX_VIEW}", f"{dtype} {shape}"
        )
    return shape


def _load(path: Path) -> NDArray[np.uint8]:
    with variables(path) as found:
        return found["im"].read()
