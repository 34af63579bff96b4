"""3D Shapes (Burgess and Kim 2018): HDF5, ``images`` (480000, 64, 64, 3), ``labels`` (…, 6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyro_dcign.datasets.manifest import MAX_IMAGES, MAX_VALUE
from pyro_dcign.datasets.readers.source import Column, Grey, Source, grey
from pyro_dcign.errors import refuse
from pyro_dcign.files import datasets

FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "azimuth")
"""Columns of the labels; the makers call the last one orientation, in degrees from -30 to 30."""


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The published 3dshapes.h5."""
    with datasets(path, "images", "labels") as (images, labels):
        n = images.shape[0] if images.shape else 0
        if images.dtype != np.uint8 or images.shape != (n, 64, 64, 3) or not 0 < n <= MAX_IMAGES:
            raise refuse(path, "images as uint8 (N, 64, 64, 3)", f"{images.dtype} {images.shape}")
        if labels.dtype.kind != "f" or labels.shape != (n, len(FACTORS)):
            raise refuse(path, f"labels as floats ({n}, 6)", f"{labels.dtype} {labels.shape}")

        def read(start: int, stop: int) -> Grey:
            return grey(images.read((start, stop)))

        found = labels.read()
        if not (np.abs(found) <= MAX_VALUE).all():
            raise refuse(path, f"numbers within {MAX_VALUE:g} in labels", "others")
        table = np.round(found.astype(np.float64), 6)
        values = dict(zip(FACTORS, table.T, strict=True))
        columns = {
            "azimuth": Column(values["azimuth"]),
            "scale": Column(values["scale"]),
            **{name: Column(values[name], 1.0) for name in FACTORS[:3]},
        }
        yield Source(
            columns,
            values["shape"].astype(np.int64),
            ("azimuth", "scale"),
            side=64,
            read=read,
            apart=False,
            block=1024,
        )
