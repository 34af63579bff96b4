"""rendered_chairs (Aubry et al. 2014): <chair>/renders/image_NNN_pEEE_tAAA_rRRR.png, 600 x 600."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyro_dcign.datasets.manifest import MAX_IMAGES
from pyro_dcign.datasets.readers.pictures import picture
from pyro_dcign.datasets.readers.source import Column, Grey, Source
from pyro_dcign.errors import need_folder, refuse

STEPS = 31
"""Azimuths of a circle; file names hold whole degrees, cut down from 360 / 31 · k."""

_NAME = re.compile(r"image_\d+_p(\d{1,3})_t(\d{1,3})_r\d+\.png")


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """The unpacked folder, of any number of chairs.

    The number of a file skips, so pose is read from its name alone. Azimuth is brought to -180 to
    180 degrees and is 0 where the makers' is.
    """
    need_folder(path)
    files: list[Path] = []
    who: list[int] = []
    azimuth: list[float] = []
    elevation: list[float] = []
    chairs = sorted(folder for folder in path.iterdir() if (folder / "renders").is_dir())
    for number, chair in enumerate(chairs):
        for file in sorted((chair / "renders").iterdir()):
            found = _NAME.fullmatch(file.name)
            if found is None:
                continue
            up, turn = (int(text) for text in found.groups())
            step = -(-turn * STEPS // 360)  # the smallest k whose 360 / 31 · k is not below
            if int(360 * step / STEPS) != turn or up > 90:
                raise refuse(file, "an azimuth of 360 / 31 · k", f"t{turn:03d} p{up:03d}")
            if len(files) == MAX_IMAGES:
                raise refuse(path, f"at most {MAX_IMAGES} pictures", "more")
            files.append(file)
            who.append(number)
            azimuth.append(360 / STEPS * (step if step <= STEPS // 2 else step - STEPS))
            elevation.append(up)
    if not files:
        raise refuse(
            path, "folders <chair>/renders of pictures", "none", "give the folder rendered_chairs"
        )

    def read(start: int, stop: int) -> Grey:
        assert stop == start + 1
        return picture(files[start])

    yield Source(
        {
            "azimuth": Column(np.array(azimuth), 360.0),
            "elevation": Column(np.array(elevation, np.float64)),
        },
        np.array(who),
        ("azimuth",),
        side=150,
        read=read,
    )
