"""Grey images from picture files, within limits of size that are checked before decoding."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from pyro_dcign.datasets.readers.source import MAX_PICTURE, Grey
from pyro_dcign.errors import InputError, refuse

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def picture(path: Path) -> Grey:
    """One picture as 8-bit grey (1, H, W); what is transparent becomes white.

    Raises:
        InputError: No such file, another format, more than 8192 pixels a side, or damage.
    """
    try:
        with _strict(), Image.open(path, formats=FORMATS) as opened:
            if max(opened.size) > MAX_PICTURE or min(opened.size) < 1:
                raise refuse(path, f"at most {MAX_PICTURE} pixels a side", opened.size)
            if opened.mode not in _MODES:
                raise refuse(path, "8 bits a channel", opened.mode, "save it as an 8-bit PNG")
            image: Image.Image = opened
            if opened.mode in ("LA", "PA", "RGBA") or "transparency" in opened.info:
                image = opened.convert("RGBA")
                ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(ground, image)
            return np.asarray(image.convert("L"))[None]
    except FileNotFoundError:
        raise refuse(path, "a picture", "none", "put it there or mend the table") from None
    except InputError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise refuse(path, "an undamaged picture", error, "mend or remove it") from None


@contextmanager
def _strict() -> Iterator[None]:
    """A picture that is too large to be honest is an error, not a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
