"""3D Shapes (Burgess and Kim 2018): HDF5, ``images`` (480000, 64, 64, 3), ``labels`` (…, 6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pyro_dcign.datasets.readers.source import MAX_IMAGES, Column, Grey, Source, grey
from pyro_dcign.errors import need_file, optional, refuse

FACTORS = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "azimuth")
"""Columns of the labels; the makers call the last one orientation, in degrees from -30 to 30."""


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The published 3dshapes.h5."""
    need_file(path)
    h5py = optional("h5py", "3dshapes")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise refuse(path, "an undamaged HDF5 file", error) from None
    with file:
        images, labels = (_dataset(path, h5py, file, name) for name in ("images", "labels"))
        n = images.shape[0] if images.shape else 0
        if images.dtype != np.uint8 or images.shape != (n, 64, 64, 3) or not 0 < n <= MAX_IMAGES:
            raise refuse(path, "images as uint8 (N, 64, 64, 3)", f"{images.dtype} {images.shape}")
        if labels.dtype.kind != "f" or labels.shape != (n, len(FACTORS)):
            raise refuse(path, f"labels as floats ({n}, 6)", f"{labels.dtype} {labels.shape}")

        def read(start: int, stop: int) -> Grey:
            try:
                return grey(images[start:stop])
            except OSError as error:
                raise refuse(path, "undamaged images", error) from None

        try:
            table = np.round(labels[:].astype(np.float64), 6)
        except OSError as error:
            raise refuse(path, "undamaged labels", error) from None
        if not np.isfinite(table).all():
            raise refuse(path, "finite numbers in labels", "NaN or infinity")
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


def _dataset(path: Path, h5py: Any, file: Any, name: str) -> Any:
    found = file.get(name) if name in file else None
    if not isinstance(found, h5py.Dataset):
        raise refuse(path, f"a dataset {name}", ", ".join(list(file)[:8]) or "none")
    return found
