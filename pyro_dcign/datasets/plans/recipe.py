"""The recipe of a generated store: everything that its images depend on."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_dcign import __version__
from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.manifest import SPLITS
from pyro_dcign.datasets.minibatch import MINIBATCH
from pyro_dcign.datasets.plans.plan import IDENTITIES
from pyro_dcign.errors import InputError

SMALL_TRAIN, SMALL_INTRINSIC, SMALL_TEST = 250, 750, 25
"""Minibatches of each extrinsic type, of the intrinsic type, and of each type to test."""

LARGE_TRAIN, LARGE_TEST = 3000, 75
"""Minibatches of each type to train on, as many as the paper's, and to test on."""


@dataclass(frozen=True)
class Recipe:
    """Everything that the images of a generated store depend on.

    Attributes:
        scene: Name of the scene.
        minibatches: How many of each type, by split and type.
        side: Height and width of the images, in pixels.
        seed: Of every draw.
        size: Images in a minibatch.
        identities: First identity and one past the last of each split.
        plan: "drawn" at random, or a "census" of all views of a grid.
        model: SHA-256 of the morphable model that the scene was read from, if any.
        device: Kind of device that rendered it: another may round pixels otherwise.
        stored: Whether the images are on disk; else they are rendered where they are used.
    """

    scene: str
    minibatches: Mapping[str, Mapping[str, int]]
    side: int = 64
    seed: int = 0
    size: int = MINIBATCH
    identities: Mapping[str, tuple[int, int]] = field(default_factory=lambda: dict(IDENTITIES))
    plan: str = "drawn"
    model: str = ""
    device: str = "cpu"
    stored: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The recipe as the manifest holds it."""
        return {
            "scene": self.scene,
            "minibatches": {split: dict(self.minibatches[split]) for split in SPLITS},
            "side": self.side,
            "seed": self.seed,
            "size": self.size,
            "identities": {split: list(self.identities[split]) for split in SPLITS},
            "plan": self.plan,
            "model": self.model,
            "device": self.device,
            "stored": self.stored,
            "version": __version__,
        }


def counts(
    types: Iterable[str],
    *,
    train: int = SMALL_TRAIN,
    intrinsic: int = SMALL_INTRINSIC,
    test: int = SMALL_TEST,
) -> dict[str, dict[str, int]]:
    """Minibatches by split and type; the paper has 3000, 3000 and 350 at 150 pixels."""
    types = tuple(types)
    return {
        "train": {varying: intrinsic if varying == INTRINSIC else train for varying in types},
        "test": dict.fromkeys(types, test),
    }


def check_counts(recipe: Recipe, types: tuple[str, ...]) -> None:
    """Raise InputError unless the recipe asks for minibatches of these types only."""
    for split in SPLITS:
        for varying, number in recipe.minibatches[split].items():
            if varying not in types or number < 0:
                raise InputError(
                    f"expected counts of 0 or more for {', '.join(types)}, "
                    f"found {varying} {number}; mend the counts"
                )
    if not any(any(recipe.minibatches[split].values()) for split in SPLITS):
        raise InputError("expected 1 or more minibatches, found 0; raise the counts")


def check_space(folder: Path, recipe: Recipe) -> None:
    """Raise InputError if the disk lacks the room: before the work, not after an hour of it."""
    number = sum(sum(of_types.values()) for of_types in recipe.minibatches.values())
    needed = number * recipe.size * recipe.side**2
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"expected {needed / 1e9:.1f} GB free for {folder}, found {free / 1e9:.1f}; "
            f"ask for fewer minibatches, or give another place"
        )
