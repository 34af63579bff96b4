"""Grey images from picture files."""

from pathlib import Path

from pyro_dcign.datasets.readers.source import Grey
from pyro_dcign.files import FORMATS, read_grey

_FORMATS = tuple(name for name in FORMATS if name != "GIF")


def picture(path: Path) -> Grey:
    """One picture as 8-bit grey (1, H, W), read as everywhere: see :mod:`pyro_dcign.files`.

    Raises:
        InputError: No such file, another format, more than 50 megapixels or 100 MB, or damage.
    """
    return read_grey(path, formats=_FORMATS)
