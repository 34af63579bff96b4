"""Forty people in as many poses and lights, one picture: python tools/contact_sheet.py OUT.png.

With a second argument, of that scene: ``faces`` are plain heads.
"""

import sys

import torch
from PIL import Image

from pyro_dcign.scenes import load_scene

COLUMNS, ROWS, SIDE = 10, 4, 150


def main(target: str, kind: str = "people") -> None:
    scene = load_scene(kind)
    n = COLUMNS * ROWS
    g = torch.Generator().manual_seed(0)
    factors = {
        name: r.low + (r.high - r.low) * torch.rand(n, generator=g)
        for name, r in scene.factors.items()
    }
    for name in ("azimuth", "elevation", "shift_x", "shift_y"):  # the upper half looks at us
        if name in factors:
            factors[name][: n // 2] *= 0.0
    factors["light"][: n // 2] = 25.0
    if "size" in factors:
        factors["size"][: n // 2] = 0.95
    pixels = scene.render(torch.arange(n), factors, side=SIDE)
    rows = pixels.view(ROWS, COLUMNS, SIDE, SIDE).permute(0, 2, 1, 3)
    Image.fromarray(rows.reshape(ROWS * SIDE, COLUMNS * SIDE).numpy()).save(target, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
