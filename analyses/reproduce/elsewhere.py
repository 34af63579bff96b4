"""What the network makes of pictures that it was not made for.

python analyses/reproduce/elsewhere.py [--run analyses/networks/faces-paper]

The pictures come inside packages: Grace Hopper's portrait in Matplotlib; Eileen Collins, a
cameraman, a coin, a cat and small press photographs (LFW) in scikit-image, which is no dependency:
pip install scikit-image.
"""

import sys
from importlib.resources import files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # where the package is not installed

import click
import numpy as np
import torch
from paper import elsewhere
from PIL import Image
from torch import Tensor

from pyro_dcign.measures.calibration import open_calibration
from pyro_dcign.measures.figures.of_a_run import save
from pyro_dcign.runs import default_run, load_run

HERE = Path(__file__).parent

# Package, file, and the square that is cut out: left, top, right, bottom.
PICTURES = {
    "Collins": ("skimage", "data/astronaut.png", (130, 0, 330, 200)),
    "Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (110, 10, 430, 330)),
    "cameraman": ("skimage", "data/camera.png", (175, 40, 325, 190)),
    "coin": ("skimage", "data/coins.png", (188, 165, 240, 217)),
    "cat": ("skimage", "data/chelsea.png", (60, 20, 340, 300)),
}
PRESS = ("skimage", "data/lfw_subset.npy")
PEOPLE = (2, 3, 6)  # of the press photographs, 25 x 25


def pictures(side: int) -> dict[str, Tensor]:
    """The pictures that are here, grey and square; those of absent packages are left out."""
    found = {}
    for name, (package, path, square) in PICTURES.items():
        if (file := _open(package, path)) is not None:
            found[name] = _pixels(Image.open(file).convert("L").crop(square), side)
    if (faces := _open(*PRESS)) is not None:
        small = np.load(faces)
        for number in PEOPLE:
            picture = Image.fromarray((small[number] * 255).round().astype(np.uint8))
            found[f"press {number}"] = _pixels(picture, side)
    return found


def _open(package: str, path: str) -> Path | None:
    try:
        where = Path(str(files(package))) / path
    except ModuleNotFoundError:
        return None
    return where if where.is_file() else None


def _pixels(picture: Image.Image, side: int) -> Tensor:
    return torch.from_numpy(np.array(picture.resize((side, side), Image.Resampling.LANCZOS)))


@click.command(help=__doc__)
@click.option("--run", "folder", type=click.Path(path_type=Path), help="[default: the shipped one]")
@click.option("--out", type=click.Path(path_type=Path), default=HERE / "figures" / "elsewhere.png")
@click.option("--device", default="auto", show_default=True)
def main(folder: Path | None, out: Path, device: str) -> None:
    """Draw what comes out."""
    run = load_run(folder or default_run(), device=device)
    shown = pictures(run.config.side)
    save(elsewhere(run, open_calibration(run), shown), out)
    print(f"{', '.join(shown)}: {out}")


if __name__ == "__main__":
    main()
