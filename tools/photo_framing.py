"""Where the detector sees faces of rendered heads, from which files/photo.py crops photographs.

python tools/photo_framing.py          # needs the extra photo; a minute
"""

import numpy as np
import torch
from PIL import Image

from pyro_dcign.files.photo import faces
from pyro_dcign.scenes import load_scene

HEADS, SIDE = 80, 150


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    ranges = {"azimuth": 60.0, "elevation": 25.0, "light": 40.0}
    values = {k: (torch.rand(HEADS, generator=generator) * 2 - 1) * v for k, v in ranges.items()}
    heads = load_scene("faces").render(torch.arange(5000, 5000 + HEADS), values, side=SIDE)
    rows = []
    for head in heads.numpy():
        found = faces(Image.fromarray(head).resize((320, 320)))
        if found:
            left, top, right, bottom = np.array(found[0].box) / 320
            aside = found[0].eyes[0] / 320 - (left + right) / 2
            middle = (left + right) / 2 - 0.5
            rows.append((bottom - top, (top + bottom) / 2 - 0.5, middle, aside, found[0].roll))
    height, below, middle, aside, roll = np.array(rows).T
    print(f"{len(rows)} of {HEADS} heads found")
    print(f"height of the face in the frame: {np.median(height):.3f}")
    print(f"its middle below the frame's: {np.median(below):.3f}")
    print(f"middle of the head, in distances to the eyes: {(middle @ aside) / (aside @ aside):.2f}")
    print(f"roll read off upright heads, 5 to 95 %: {np.percentile(roll, [5, 95]).round(1)}")


if __name__ == "__main__":
    main()
