"""The plain form: ``images`` uint8 (N, H, W), ``identity`` int (N,), ``factor_<name>`` (N,)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyro_dcign.datasets.manifest import MAX_SIDE
from pyro_dcign.datasets.readers.archive import archive, take
from pyro_dcign.datasets.readers.forming import MAX_VALUE
from pyro_dcign.datasets.readers.source import Column, Source
from pyro_dcign.errors import refuse


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """A FILE.npz in the plain form of the specification; every factor is an extrinsic one."""
    with archive(path) as arrays:
        images = take(path, arrays, "images")
        images.expect("u", (None, None, None))
        n, height, width = images.shape
        if images.dtype != np.uint8 or not n or not 1 <= min(height, width) <= MAX_SIDE:
            raise refuse(path, f"images as uint8, 1 to {MAX_SIDE} pixels a side", images.shape)
        identity = take(path, arrays, "identity")
        identity.expect("iu", (n,))
        columns = {}
        for name, array in arrays.items():
            if name.startswith("factor_"):
                array.expect("fiu", (n,))
                values = array.whole().astype(np.float64)
                if not (np.abs(values) <= MAX_VALUE).all():
                    raise refuse(path, f"numbers within {MAX_VALUE:g} in {name}", "others")
                # As a store holds them: what is equal there is equal here.
                rounded = values.astype(np.float32).astype(np.float64)
                columns[name.removeprefix("factor_")] = Column(rounded)
        yield Source(
            columns,
            identity.whole().astype(np.int64),
            tuple(columns),
            side=min(height, width, MAX_SIDE),
            read=images.rows,
            block=max(1, 2**24 // (height * width)),
        )
