"""The recipe of a generated store: everything that its images depend on."""

import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_dcign import __version__
from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.manifest import SPLITS, is_type
from pyro_dcign.datasets.minibatch import MINIBATCH
from pyro_dcign.datasets.plans.plan import IDENTITIES
from pyro_dcign.errors import InputError
from pyro_dcign.varying import in_order, numbers_by_type, standard_types

SMALL_TRAIN, SMALL_INTRINSIC, SMALL_TEST = 250, 750, 25
"""Minibatches of each type to train on, of the intrinsic type, and of each type to test."""

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
    """Minibatches by split and type; the paper has 3000, 3000 and 350 at 150 pixels.

    Args:
        types: Names of the types, such as :func:`pyro_dcign.code.standard_types` gives.
        train: Minibatches of each type to train on.
        intrinsic: Minibatches of the intrinsic type to train on.
        test: Minibatches of each type to test on.
    """
    types = tuple(types)
    return {
        "train": {varying: intrinsic if varying == INTRINSIC else train for varying in types},
        "test": dict.fromkeys(types, test),
    }


def with_types(
    found: Mapping[str, Mapping[str, int]], text: str, factors: Collection[str], *, test: int
) -> dict[str, dict[str, int]]:
    """Counts with other numbers to train on for some types, which may be further ones.

    Args:
        found: From :func:`counts`.
        text: As ``pose=500,azimuth+elevation=100``; may be empty.
        factors: Names of the extrinsic factors.
        test: Minibatches to test on of types that are not there yet.

    Raises:
        InputError: A name of no type, or no whole number.
    """
    further = numbers_by_type(text, factors) if text else {}
    for varying, number in further.items():
        if number != int(number):
            raise InputError(
                f"expected a whole number of {varying} minibatches, found {number:g}; change it"
            )
    train = {**found["train"], **{varying: int(number) for varying, number in further.items()}}
    return {
        split: {name: of[name] for name in in_order(of, factors)}
        for split, of in (
            ("train", train),
            ("test", {**dict.fromkeys(further, test), **found["test"]}),
        )
    }


def check_counts(recipe: Recipe, factors: Collection[str]) -> None:
    """Raise InputError unless the recipe asks for minibatches of types of these factors only."""
    for split in SPLITS:
        for varying, number in recipe.minibatches[split].items():
            if not is_type(varying, factors) or number < 0:
                raise InputError(
                    f"expected counts of 0 or more for {', '.join(standard_types(factors))}, "
                    f"or factors joined by +, found {varying} {number}; mend the counts"
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
