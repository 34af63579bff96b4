"""Cars3D (Reed et al. 2015): a .mat file a car, key ``im`` (H, W, 3, 24 azimuths, 4 elevations)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.datasets.manifest import MAX_SIDE
from pyro_dcign.datasets.readers.source import Column, Grey, Source, grey, grid
from pyro_dcign.errors import need_folder, optional, refuse

AZIMUTHS, ELEVATIONS = 24, 4


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The folder of the car_….mat files. Azimuth in degrees; elevation is the makers' 0 to 3."""
    need_folder(path)
    scipy = optional("scipy.io", "cars3d")
    cars = sorted(file for file in path.iterdir() if file.suffix == ".mat")
    if not cars:
        raise refuse(path, "a .mat file for each car", "none", "give the folder that holds them")
    shapes = [_shape(scipy, car) for car in cars]
    for car, shape in zip(cars, shapes, strict=True):
        if shape != shapes[0]:
            raise refuse(car, f"im as {shapes[0]}, like the others", shape)
    axes = grid({"car": len(cars), "azimuth": AZIMUTHS, "elevation": ELEVATIONS})

    @lru_cache(maxsize=2)
    def load(number: int) -> NDArray[np.uint8]:
        found = _load(scipy, cars[number])
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


def _shape(scipy: Any, path: Path) -> tuple[int, ...]:
    """Shape of ``im``, from the file's header alone."""
    try:
        listed = scipy.whosmat(path)
    except Exception as error:  # SciPy raises whatever its parser stumbles over
        raise refuse(path, "an undamaged MATLAB file", error) from None
    found = {name: (tuple(shape), kind) for name, shape, kind in listed}
    shape, kind = found.get("im", ((), "none"))
    fits = len(shape) == 5 and shape[2:] == (3, AZIMUTHS, ELEVATIONS)
    if not fits or kind != "uint8" or not 1 <= min(shape) <= max(shape) <= MAX_SIDE:
        raise refuse(path, "im as uint8 (H, W, 3, 24, 4)", f"{kind} {shape}")
    return shape


def _load(scipy: Any, path: Path) -> NDArray[np.uint8]:
    try:
        found: NDArray[np.uint8] = scipy.loadmat(path, variable_names=["im"])["im"]
    except Exception as error:
        raise refuse(path, "an undamaged MATLAB file", error) from None
    return found
