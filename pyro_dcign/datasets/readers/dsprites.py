"""dSprites (Matthey et al. 2017): ``imgs`` uint8 (N, 64, 64) of 0 and 1, ``latents_values``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyro_dcign.datasets.manifest import MAX_IMAGES, MAX_VALUE
from pyro_dcign.datasets.readers.source import Column, Grey, Source
from pyro_dcign.errors import refuse
from pyro_dcign.files import archive

FACTORS = ("color", "shape", "scale", "orientation", "x", "y")


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The published dsprites_ndarray_….npz; orientation in degrees, full circle."""
    with archive(path) as arrays:
        images = arrays.take("imgs")
        images.expect("ub", (None, 64, 64))
        table = arrays.take("latents_values")
        table.expect("f", (images.shape[0], len(FACTORS)))
        if images.dtype.itemsize != 1 or not 1 <= images.shape[0] <= MAX_IMAGES:
            raise refuse(path, f"1 to {MAX_IMAGES} imgs of one byte a pixel", images.shape)
        values = dict(zip(FACTORS, table.whole().T.astype(np.float64), strict=True))
        if not all((np.abs(column) <= MAX_VALUE).all() for column in values.values()):
            raise refuse(path, f"numbers within {MAX_VALUE:g} in latents_values", "others")
        # 0 and 360 degrees are both in the set, the same picture twice.
        turned = np.round(np.degrees(values["orientation"]), 6) % 360
        columns = {
            "orientation": Column(turned, 360.0),
            **{name: Column(values[name]) for name in ("scale", "x", "y")},
        }

        def read(start: int, stop: int) -> Grey:
            return np.asarray(np.minimum(images.rows(start, stop), 1) * 255, np.uint8)

        yield Source(
            columns,
            values["shape"].astype(np.int64),
            ("orientation", "scale"),
            side=64,
            read=read,
            apart=False,
            block=4096,
        )
