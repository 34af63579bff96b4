"""A small labelled set: a bright spot of each person's width at a grid of places."""

import numpy as np
from tiny import TINY

from pyro_dcign.datasets.readers.bring import bring

SMALL = {"size": 6, "minibatches": 12, "test": 4, "test_fraction": 0.25, "quiet": True}
NETWORK = TINY


def blobs(*, names=("x", "y"), scales=(1.0, 1.0), people=8, steps=4, seed=0, side=16):
    """Arrays of the plain form; another seed draws other widths, so other people."""
    places = np.linspace(-1, 1, steps)
    across, down = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    widths = np.random.default_rng(seed).uniform(0.15, 0.5, people)
    rows = [(w, p, u, v) for p, w in enumerate(widths) for u in places for v in places]
    images = [
        255 * np.exp(-((across - 0.6 * u) ** 2 + (down - 0.6 * v) ** 2) / w**2)
        for w, _, u, v in rows
    ]
    who, first, second = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
    return {
        "images": np.array(images).round().astype(np.uint8),
        "identity": who.astype(np.int64),
        f"factor_{names[0]}": first * scales[0],
        f"factor_{names[1]}": second * scales[1],
    }


def imported(folder, name="set", **options):
    """The set as a FILE.npz and as a store beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", **blobs(**options))
    return bring("npz", folder / f"{name}.npz", folder / name, **SMALL)
