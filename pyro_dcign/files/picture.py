"""Opening a picture file: within limits that are checked before anything is decoded."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from PIL import Image

from pyro_dcign.errors import InputError, need_file, refuse

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

MAX_BYTES = 100 * 2**20
"""Largest picture file."""

MAX_TIFF = 32 * 2**20
"""Largest TIFF: a list in it takes 25 times its bytes in memory."""

MAX_PIXELS = 50_000_000
"""Most pixels of a picture."""


@contextmanager
def opened(path: Path, *, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """A picture for as long as the ``with`` block lasts; of an animation its first frame.

    What Pillow raises while the block decodes it becomes an InputError.

    Raises:
        InputError: No file, another format, damage, or more than 50 megapixels or 100 MB (of TIFF
            32).
    """
    need_file(path)
    with path.open("rb") as file:
        tiff = file.read(2) in (b"II", b"MM")
    most, kind = (MAX_TIFF, "TIFF") if tiff else (MAX_BYTES, "picture")
    if path.stat().st_size > most:
        found = f"{path.stat().st_size // 2**20} MB"
        raise refuse(path, f"a {kind} of up to {most // 2**20} MB", found, "save a smaller PNG")
    try:
        with warnings.catch_warnings(), _quiet_library() if tiff else nullcontext():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files; the limit is below
            with Image.open(path, formats=formats) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise refuse(
                        path,
                        "a picture of up to 50 megapixels",
                        f"{picture.width} by {picture.height}",
                        "shrink it",
                    )
                yield picture
    except InputError:
        raise
    except Exception as error:  # Pillow raises whatever its decoders stumble over
        remedy = f"save it again as one of {', '.join(formats)}"
        what = f"{type(error).__name__} {error}"
        raise refuse(path, "an undamaged picture", what, remedy) from None


@contextmanager
def _quiet_library() -> Iterator[None]:
    """libtiff writes its remarks on a damaged file to the process's own stderr."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
