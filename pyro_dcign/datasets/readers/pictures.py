"""Grey images from picture files."""

from pathlib import Path

import numpy as np
from PIL import Image

from pyro_dcign.datasets.readers.source import Grey
from pyro_dcign.errors import refuse
from pyro_dcign.files import FORMATS, opened

_FORMATS = tuple(name for name in FORMATS if name != "GIF")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def picture(path: Path) -> Grey:
    """One picture as 8-bit grey (1, H, W), ITU-R BT.601; what is transparent becomes white.

    Raises:
        InputError: No such file, another format, more than 50 megapixels or 100 MB, or damage.
    """
    with opened(path, formats=_FORMATS) as found:
        if found.mode not in _MODES:
            raise refuse(path, "8 bits a channel", found.mode, "save it as an 8-bit PNG")
        if found.mode in ("LA", "PA", "RGBA") or "transparency" in found.info:
            seen = found.convert("RGBA")
            ground = Image.new("L", found.size, 255)
            ground.paste(seen.convert("L"), mask=seen.getchannel("A"))
            return np.asarray(ground)[None]
        return np.asarray(found.convert("L"))[None]
