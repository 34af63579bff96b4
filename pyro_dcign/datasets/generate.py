"""Making a store from a scene: all cores, resumable, the same bytes whatever their number."""

import functools
import itertools
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pyro_dcign.datasets.manifest import FILE, SPLITS, Manifest
from pyro_dcign.datasets.minibatch import Block
from pyro_dcign.datasets.plans.plan import Plans, render
from pyro_dcign.datasets.plans.recipe import (
    SMALL_TEST,
    SMALL_TRAIN,
    Recipe,
    check_counts,
    check_space,
    counts,
)
from pyro_dcign.datasets.plans.rendering import CHUNK, SCENES, plans
from pyro_dcign.datasets.pool import Blocks, Chunk, alone, cores, together
from pyro_dcign.datasets.progress import Progress
from pyro_dcign.datasets.shard import shard_length
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import Writer, check_vacant
from pyro_dcign.errors import InputError
from pyro_dcign.files import write_whole
from pyro_dcign.scenes import Scene, load_scene
from pyro_dcign.varying import in_order, standard_types


def make(
    folder: Path | str,
    recipe: Recipe,
    load: Callable[[], Scene],
    *,
    workers: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Store:
    """Render a recipe into a new store; one that is not to be stored is only written down.

    Interrupted work leaves finished shards in a hidden folder beside ``folder``, and the same call
    goes on from there.

    Args:
        folder: Where the store is to appear; absent or empty.
        recipe: What to render.
        load: Gives the scene, in each worker; must be picklable, such as a ``partial`` of a
            function of a module.
        workers: Processes; by default one for each core. With 1, or on a GPU, this process renders.
        device: Where the scene renders. Another device than the CPU may round pixels otherwise.
        quiet: Show no progress.

    Raises:
        InputError: A folder in use, impossible counts, or a worker that was killed.
    """
    folder = Path(folder)
    check_vacant(folder)
    recipe = replace(recipe, device=torch.device(device).type)
    scene = load()
    planner = plans(scene, recipe)
    step = CHUNK.get(recipe.device, CHUNK["cuda"])
    check_counts(recipe, planner.factors)
    if not recipe.stored:
        return _write_plan(folder, recipe, scene)
    check_space(folder, recipe)
    with Writer(
        folder,
        side=recipe.side,
        size=recipe.size,
        factors=scene.factors,
        recipe=recipe.as_dict(),
        resume=True,
    ) as writer:
        todo, ready = _todo(recipe, writer)
        chunks = [
            (split, varying, tuple(range(start, min(start + step, shard.stop))))
            for split, varying, _, shard in todo
            for start in range(shard.start, shard.stop, step)
        ]
        if workers is None:
            workers = cores()
        workers = 1 if recipe.device != "cpu" else max(1, min(workers, len(chunks)))
        work = functools.partial(_render, planner=planner, side=recipe.side)
        if workers == 1:
            blocks: Blocks = alone(work, scene, chunks)
        else:
            blocks = together(work, load, chunks, workers)
        total = sum(sum(n.values()) for n in recipe.minibatches.values()) * recipe.size
        title = f"rendering {recipe.scene} at {recipe.side} pixels, {workers} at a time"
        with Progress(total, title, quiet=quiet) as progress, closing(blocks):
            progress.add(ready * recipe.size, free=True)
            for split, varying, number, shard in todo:
                calls = len(range(shard.start, shard.stop, step))
                # No name here: a shard held while the next is gathered breaks up the heap, by
                # some 20 MB a shard.
                writer.shard(split, varying, number, _joined(blocks, calls, progress))
    return Store(folder)


def ensure(
    folder: Path | str,
    recipe: Recipe,
    load: Callable[[], Scene],
    *,
    workers: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Store:
    """The store of this recipe: opened if the folder holds it, else made.

    Raises:
        InputError: The folder holds another set.
    """
    folder = Path(folder)
    if not (folder / FILE).exists():
        return make(folder, recipe, load, workers=workers, device=device, quiet=quiet)
    store = Store.open(folder)
    # A set without a plan or a model is older than these words.
    known = {"plan": "drawn", "model": "", "stored": True}
    wanted, found = recipe.as_dict(), {**known, **store.manifest.recipe}
    # Another version of the package, or another device, made it: good enough to train on.
    compared = [key for key in wanted if key not in ("version", "device")]
    differing = [key for key in compared if found.get(key) != wanted[key]]
    if differing:
        what = ", ".join(f"{key} {wanted[key]}" for key in differing)
        had = ", ".join(f"{found.get(key)}" for key in differing)
        raise InputError(
            f"expected {folder} to be made with {what}, found {had}; "
            f"give another folder, or remove this one"
        )
    return store


def ensure_faces(
    folder: Path | str,
    *,
    side: int = 64,
    train: int = SMALL_TRAIN,
    intrinsic: int = SMALL_TRAIN,
    test: int = SMALL_TEST,
    seed: int = 0,
    plain: bool = True,
    stored: bool = True,
    workers: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Store:
    """The store of heads that ``fit`` trains on by default, made if it is not there yet.

    Args:
        folder: The store, or where it is to appear.
        side: Height and width of the images, in pixels.
        train: Minibatches of each type but the intrinsic one to train on.
        intrinsic: Minibatches of the intrinsic type to train on.
        test: Minibatches of each type to test on.
        seed: Of every draw.
        plain: Heads before a black ground, or people before many, in many framings.
        stored: Whether images go to the disk; else they are rendered where they are used.
        workers: Processes; by default one for each core.
        device: Where to render.
        quiet: Show no progress.

    Raises:
        InputError: The folder holds another set.
    """
    scene = "faces" if plain else "people"
    load = scene_loader(scene, device)
    types = standard_types(load().factors)
    number = counts(types, train=train, intrinsic=intrinsic, test=test)
    recipe = Recipe(scene, number, side=side, seed=seed, stored=stored)
    return ensure(folder, recipe, load, workers=workers, device=device, quiet=quiet)


def scene_loader(name: str, device: str = "cpu", **options: Any) -> Callable[[], Scene]:
    """What :func:`make` calls in each worker to get a scene of the package."""
    return functools.partial(load_scene, name, device=device, **options)


def _write_plan(folder: Path, recipe: Recipe, scene: Scene) -> Store:
    if recipe.scene not in SCENES:
        raise InputError(
            f"expected a plan of {' or '.join(SCENES)}, found {recipe.scene}, whose model a recipe "
            f"does not hold; store its images"
        )
    manifest = Manifest(
        side=recipe.side,
        size=recipe.size,
        factors=dict(scene.factors),
        shards=dict.fromkeys(SPLITS, ()),
        recipe=recipe.as_dict(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, manifest.to_json())
    return Store(folder)


_Todo = tuple[str, str, int, range]


def _todo(recipe: Recipe, writer: Writer) -> tuple[list[_Todo], int]:
    """Shards to render, and how many minibatches lie in shards that are finished already."""
    todo, ready = [], 0
    length = shard_length(recipe.side, recipe.size)
    for split in SPLITS:
        for varying in in_order(recipe.minibatches[split], writer.factors):
            whole = range(recipe.minibatches[split][varying])
            for number, start in enumerate(range(0, len(whole), length)):
                part = whole[start : start + length]
                if writer.finished(split, varying, number, len(part)):
                    ready += len(part)
                else:
                    todo.append((split, varying, number, part))
    return todo, ready


def _joined(blocks: Blocks, calls: int, progress: Progress) -> Block:
    """The next blocks as one."""
    parts = []
    for block in itertools.islice(blocks, calls):
        parts.append(block)
        progress.add(block.identity.numel())
    return Block(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _render(scene: Scene, chunk: Chunk, *, planner: Plans, side: int) -> Block:
    split, varying, indices = chunk
    block = render(scene, planner.plan(split, varying, indices), side=side)
    return block._replace(pixels=block.pixels.cpu())
