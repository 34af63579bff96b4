"""Forty chairs from as many sides, one picture: python tools/chair_sheet.py OUT.png."""

import sys

import torch
from PIL import Image

from pyro_dcign.scenes import Chairs
from pyro_dcign.scenes.chairs import AZIMUTHS

COLUMNS, ROWS, SIDE = 10, 4, 150


def main(target: str) -> None:
    n = COLUMNS * ROWS
    g = torch.Generator().manual_seed(0)
    azimuth = torch.tensor(AZIMUTHS)[torch.randint(len(AZIMUTHS), (n,), generator=g)]
    azimuth[: n // 2] = torch.tensor([-35.0, 35.0]).repeat(n // 4)  # the upper half looks at us
    identity = 2 * torch.arange(n) + torch.arange(n) % 2  # of both elevations
    pixels = Chairs().render(identity, {"azimuth": azimuth}, side=SIDE)
    rows = pixels.view(ROWS, COLUMNS, SIDE, SIDE).permute(0, 2, 1, 3)
    picture = Image.fromarray(rows.reshape(ROWS * SIDE, COLUMNS * SIDE).numpy())
    picture.quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
