"""The plain form: ``images`` uint8 (N, H, W), ``identity`` int (N,), ``factor_<name>`` (N,)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyro_dcign.datasets.manifest import (
    MAX_FACTORS,
    MAX_IMAGES,
    MAX_SIDE,
    MAX_VALUE,
    check_factor_names,
)
from pyro_dcign.datasets.readers.source import (
    BLOCK_BYTES,
    MAX_PICTURE,
    Column,
    Source,
    as_stored,
)
from pyro_dcign.errors import refuse
from pyro_dcign.files import archive

_MEND = "write it with numpy.savez in the plain form"


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """A FILE.npz in the plain form of the specification; every factor is an extrinsic one."""
    with archive(path) as arrays:
        images = arrays.take("images")
        images.expect("u", (None, None, None))
        n, height, width = images.shape
        sides = min(height, width) >= 1 and max(height, width) <= MAX_PICTURE
        if images.dtype != np.uint8 or not 1 <= n <= MAX_IMAGES or not sides:
            raise refuse(
                path,
                f"1 to {MAX_IMAGES} images as uint8, 1 to {MAX_PICTURE} pixels a side",
                f"{images.dtype} {images.shape}",
                _MEND,
            )
        identity = arrays.take("identity")
        identity.expect("iu", (n,))
        columns = {}
        names = [name for name in arrays.names if name.startswith("factor_")]
        if len(names) > MAX_FACTORS:
            raise refuse(path, f"at most {MAX_FACTORS} factors", len(names), _MEND)
        check_factor_names(tuple(name.removeprefix("factor_") for name in names))
        for name in names:
            array = arrays.take(name)
            array.expect("fiu", (n,))
            values = array.whole().astype(np.float64)
            if (bad := np.flatnonzero(~(np.abs(values) <= MAX_VALUE))).size:
                found = f"{values[bad[0]]:g} in image {bad[0]} (from 0)"
                raise refuse(path, f"numbers within {MAX_VALUE:g} in {name}", found, _MEND)
            stored = as_stored(values, name, "image {} (from 0)".format)
            columns[name.removeprefix("factor_")] = Column(stored)
        who = identity.whole()
        if who.max() > np.iinfo(np.int64).max:
            raise refuse(path, "identities below 2**63", f"{who.max()}", _MEND)
        yield Source(
            columns,
            who.astype(np.int64),
            tuple(columns),
            side=min(height, width, MAX_SIDE),
            read=images.rows,
            block=max(1, BLOCK_BYTES // (height * width)),
        )
