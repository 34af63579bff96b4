"""MPI3D (Gondal et al. 2019): ``images`` uint8 (1036800, 64, 64, 3), a full grid in row order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyro_dcign.datasets.readers.source import Column, Grey, Source, grey, grid
from pyro_dcign.errors import refuse
from pyro_dcign.files import archive

GRID = {
    "color": 6,
    "shape": 6,
    "size": 2,
    "camera": 3,
    "background": 3,
    "horizontal": 40,
    "vertical": 40,
}
"""Factors and their values, the last changing fastest: numbers, as the set's makers name them."""


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """mpi3d_toy.npz, mpi3d_realistic.npz or mpi3d_real.npz."""
    with archive(path) as arrays:
        images = arrays.take("images")
        images.expect("u", (None, 64, 64, 3))
        axes = grid(GRID)
        if images.dtype != np.uint8 or images.shape[0] != len(axes["color"]):
            raise refuse(path, f"{len(axes['color'])} images as uint8", images.shape)
        columns = {
            name: Column(axes[name].astype(np.float64))
            for name in ("horizontal", "vertical", "camera", "size", "background", "color")
        }

        def read(start: int, stop: int) -> Grey:
            return grey(images.rows(start, stop))

        yield Source(
            columns,
            axes["shape"],
            ("horizontal", "vertical", "camera"),
            side=64,
            read=read,
            apart=False,
            block=1024,
        )
