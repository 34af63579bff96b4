"""A planned store: a recipe on disk, its images rendered when they are asked for, and kept."""

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import UInt8
from torch import Tensor

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.manifest import SPLITS, Manifest, Shard
from pyro_dcign.datasets.minibatch import Block
from pyro_dcign.datasets.plans.census import Census
from pyro_dcign.datasets.plans.plan import Planner, Plans, rendered
from pyro_dcign.datasets.plans.recipe import Recipe, check_counts
from pyro_dcign.datasets.progress import Progress
from pyro_dcign.errors import InputError
from pyro_dcign.scenes import Scene, load_scene
from pyro_dcign.varying import in_order

CHUNK = {"cpu": 4, "cuda": 64}
"""Minibatches a call of the renderer. Part of the recipe: rounding may depend on the batch."""

SCENES = ("faces", "people", "chairs")
"""Scenes that a recipe alone can make again; others read a file that only its owner has."""

MAX_BYTES = 64 * 2**30
"""Largest set that is rendered into memory."""


def plans(scene: Scene, recipe: Recipe) -> Plans:
    """What the minibatches of a recipe show."""
    kind = Census if recipe.plan == "census" else Planner
    return kind(scene.factors, recipe.seed, size=recipe.size, identities=recipe.identities)


@final
class Rendering:
    """Minibatches of one type of a plan, read as a shard's file is.

    Whole tensors are rendered once and stay on the device that rendered them, or where they are
    moved; a slice that is asked for before that is rendered alone, and is on the CPU.
    """

    def __init__(
        self, scene: Scene, planner: Plans, split: str, shard: Shard, *, side: int, size: int
    ) -> None:
        self.scene, self.planner, self.split, self.shard = scene, planner, split, shard
        self.side, self.size = side, size
        self.pixels: Tensor | None = None

    def get_tensor(self, name: str) -> Tensor:
        """All minibatches' pixels, factors or identity."""
        if name != "pixels":
            everything = range(self.shard.minibatches)
            plan = self.planner.plan(self.split, self.shard.varying, everything)
            found: Tensor = getattr(plan, name)
            return found
        if self.pixels is None:
            self.pixels = self._render()
        return self.pixels

    def move(self, place: UInt8[Tensor, "minibatches images height width"]) -> None:
        """Render all minibatches' pixels into a tensor, or copy them, and keep them only there."""
        if self.pixels is None:
            self._render(place)
        else:
            place.copy_(self.pixels)
        self.pixels = place

    def get_slice(self, name: str) -> "_Slice":
        """What gives one minibatch's pixels, factors or identity by its number."""
        return _Slice(self, name)

    def block(self, indices: range) -> Block:
        """Some of the minibatches, rendered now."""
        varying = self.shard.varying
        return rendered(self.scene, self.planner, self.split, varying, indices, side=self.side)

    def _render(self, pixels: Tensor | None = None) -> Tensor:
        count, size, side = self.shard.minibatches, self.size, self.side
        title = f"rendering {self.split} {self.shard.varying} of {self.scene.name} at {side} pixels"
        with Progress(count * size, title) as progress:
            step = CHUNK[_device().type]
            for start in range(0, count, step):
                some = range(start, min(start + step, count))
                part = self.block(some).pixels
                if pixels is None:  # on the scene's device, and filled in place
                    pixels = part.new_empty(count, size, side, side)
                pixels[some.start : some.stop] = part
                progress.add(len(some) * size)
        return torch.empty(0, size, side, side, dtype=torch.uint8) if pixels is None else pixels


class _Slice:
    def __init__(self, rendering: Rendering, name: str) -> None:
        self.rendering, self.name = rendering, name

    def __getitem__(self, index: int) -> Tensor:
        if self.name == "pixels" and self.rendering.pixels is not None:
            return self.rendering.pixels[index].cpu()
        if self.name == "pixels":
            return self.rendering.block(range(index, index + 1)).pixels[0].cpu()
        plan = self.rendering.planner
        found = plan.plan(self.rendering.split, self.rendering.shard.varying, [index])
        part: Tensor = getattr(found, self.name)[0]
        return part


def is_planned(manifest: Manifest) -> bool:
    """Whether a store's folder holds a recipe in place of images."""
    return manifest.recipe.get("stored") is False


def renderings(manifest: Manifest) -> dict[tuple[str, str], tuple[Shard, Rendering]]:
    """One shard for each type of a planned store, and what renders it.

    On a GPU where there is one; another device than the CPU may round pixels otherwise.

    Raises:
        InputError: A recipe that is malformed, or asks for more than 64 GB.
    """
    recipe = _recipe(manifest)
    scene = load_scene(recipe.scene, device=str(_device()))
    planner = plans(scene, recipe)
    factors = tuple(planner.factors)
    if factors != tuple(manifest.factors):
        raise InputError(
            f"a plan of {recipe.scene} has the factors {', '.join(factors)}, found "
            f"{', '.join(manifest.factors)}; plan it again"
        )
    check_counts(recipe, factors)
    there = {t for split in SPLITS for t, count in recipe.minibatches[split].items() if count}
    types = in_order({*factors, INTRINSIC, *there}, factors)
    found = {}
    for split in SPLITS:
        for varying in types:
            count = recipe.minibatches[split].get(varying, 0)
            size = count * manifest.size * manifest.side**2
            shard = Shard(f"{split}-{varying}", varying, count, "", size)
            about = {"side": manifest.side, "size": manifest.size}
            found[split, varying] = (shard, Rendering(scene, planner, split, shard, **about))
    total = sum(shard.bytes for shard, _ in found.values())
    if total > MAX_BYTES:
        raise InputError(
            f"expected a plan of up to 64 GB of images, found {total / 1e9:.0f}; plan fewer"
        )
    return found


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _recipe(manifest: Manifest) -> Recipe:
    found: Mapping[str, Any] = manifest.recipe
    try:
        numbers = {split: dict(found["minibatches"][split]) for split in SPLITS}
        people = {split: tuple(found["identities"][split]) for split in SPLITS}
        whole = [found["seed"], *(n for of in numbers.values() for n in of.values())]
        whole += [n for pair in people.values() for n in pair]
        if not all(type(n) is int and 0 <= n < 2**62 for n in whole):
            raise ValueError("seed, counts and identities are whole numbers, 0 or more")
        if any(len(pair) != 2 for pair in people.values()):
            raise ValueError("identities are a first one and one past the last")
        if found["scene"] not in SCENES or found["plan"] not in ("drawn", "census"):
            raise ValueError(f"scene is one of {', '.join(SCENES)}, plan is drawn or census")
        return Recipe(
            found["scene"],
            numbers,
            side=manifest.side,
            seed=found["seed"],
            size=manifest.size,
            identities={split: (first, end) for split, (first, end) in people.items()},
            plan=found["plan"],
            stored=False,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"a plan's recipe is not in order: {error!r}; plan the set again"
        ) from None
