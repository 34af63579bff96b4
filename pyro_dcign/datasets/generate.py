"""Making a store from a scene: all cores, resumable, the same bytes whatever their number."""

import functools
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import torch

from pyro_dcign import __version__
from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.manifest import FILE, SPLITS
from pyro_dcign.datasets.plan import IDENTITIES, Planner, render
from pyro_dcign.datasets.progress import Progress
from pyro_dcign.datasets.shard import Block, shard_length
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import Writer, check_vacant
from pyro_dcign.errors import InputError
from pyro_dcign.minibatch import MINIBATCH
from pyro_dcign.scenes import Scene, load_scene

CHUNK = 4
"""Minibatches a call of the renderer. Part of the recipe: rounding may depend on the batch."""

SMALL_TRAIN, SMALL_INTRINSIC, SMALL_TEST = 250, 750, 25
"""Minibatches of each extrinsic type, of the intrinsic type, and of each type to test."""


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
    """

    scene: str
    minibatches: Mapping[str, Mapping[str, int]]
    side: int = 64
    seed: int = 0
    size: int = MINIBATCH
    identities: Mapping[str, tuple[int, int]] = field(default_factory=lambda: dict(IDENTITIES))

    def as_dict(self) -> dict[str, Any]:
        """The recipe as the manifest holds it."""
        return {
            "scene": self.scene,
            "minibatches": {split: dict(self.minibatches[split]) for split in SPLITS},
            "side": self.side,
            "seed": self.seed,
            "size": self.size,
            "identities": {split: list(self.identities[split]) for split in SPLITS},
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


def make(
    folder: Path | str,
    recipe: Recipe,
    load: Callable[[], Scene],
    *,
    workers: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Store:
    """Render a recipe into a new store.

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
    scene = load()
    planner = Planner(scene.factors, recipe.seed, size=recipe.size, identities=recipe.identities)
    _check_counts(recipe, planner.types)
    _check_space(folder, recipe)
    with Writer(
        folder,
        side=recipe.side,
        size=recipe.size,
        factors=scene.factors,
        recipe=recipe.as_dict(),
        resume=True,
    ) as writer:
        todo, ready = _todo(recipe, planner.types, writer)
        chunks = [
            (split, varying, tuple(range(start, min(start + CHUNK, shard.stop))))
            for split, varying, _, shard in todo
            for start in range(shard.start, shard.stop, CHUNK)
        ]
        if workers is None:
            workers = cores()
        workers = 1 if device != "cpu" else max(1, min(workers, len(chunks)))
        work = functools.partial(_render, planner=planner, side=recipe.side)
        if workers == 1:
            blocks: _Blocks = _alone(work, scene, chunks)
        else:
            blocks = _together(work, load, chunks, workers)
        total = sum(sum(n.values()) for n in recipe.minibatches.values()) * recipe.size
        title = f"rendering {recipe.scene} at {recipe.side} pixels, {workers} at a time"
        with Progress(total, title, quiet=quiet) as progress, closing(blocks):
            progress.add(ready * recipe.size, free=True)
            for split, varying, number, shard in todo:
                parts = []
                for _ in range(shard.start, shard.stop, CHUNK):
                    parts.append(next(blocks))
                    progress.add(len(parts[-1].pixels) * recipe.size)
                whole = Block(*(torch.cat(part) for part in zip(*parts, strict=True)))
                writer.shard(split, varying, number, whole)
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
    wanted, found = recipe.as_dict(), store.manifest.recipe
    # Another version of the package made it: good enough to train on.
    differing = [key for key in wanted if key != "version" and found.get(key) != wanted[key]]
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
    intrinsic: int = SMALL_INTRINSIC,
    test: int = SMALL_TEST,
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Store:
    """The store of heads that ``fit`` trains on by default, made if it is not there yet.

    Args:
        folder: The store, or where it is to appear.
        side: Height and width of the images, in pixels.
        train: Minibatches of each extrinsic type to train on.
        intrinsic: Minibatches of the intrinsic type to train on.
        test: Minibatches of each type to test on.
        seed: Of every draw.
        workers: Processes; by default one for each core.
        device: Where to render.
        quiet: Show no progress.

    Raises:
        InputError: The folder holds another set.
    """
    load = scene_loader("faces", device)
    types = (*load().factors, INTRINSIC)
    number = counts(types, train=train, intrinsic=intrinsic, test=test)
    recipe = Recipe("faces", number, side=side, seed=seed)
    return ensure(folder, recipe, load, workers=workers, device=device, quiet=quiet)


def scene_loader(name: str, device: str = "cpu") -> Callable[[], Scene]:
    """What :func:`make` calls in each worker to get a scene of the package."""
    return functools.partial(load_scene, name, device=device)


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


_Chunk = tuple[str, str, tuple[int, ...]]
_Todo = tuple[str, str, int, range]
_Blocks = Generator[Block, None, None]


def _check_counts(recipe: Recipe, types: tuple[str, ...]) -> None:
    for split in SPLITS:
        for varying, number in recipe.minibatches[split].items():
            if varying not in types or number < 0:
                raise InputError(
                    f"expected counts of 0 or more for {', '.join(types)}, "
                    f"found {varying} {number}; mend the counts"
                )
    if not any(any(recipe.minibatches[split].values()) for split in SPLITS):
        raise InputError("expected 1 or more minibatches, found 0; raise the counts")


def _check_space(folder: Path, recipe: Recipe) -> None:
    """Refuse before the work, not after an hour of it."""
    number = sum(sum(of_types.values()) for of_types in recipe.minibatches.values())
    needed = number * recipe.size * recipe.side**2
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"expected {needed / 1e9:.1f} GB free for {folder}, found {free / 1e9:.1f}; "
            f"ask for fewer minibatches, or give another place"
        )


def _todo(recipe: Recipe, types: tuple[str, ...], writer: Writer) -> tuple[list[_Todo], int]:
    """Shards to render, and how many minibatches lie in shards that are finished already."""
    todo, ready = [], 0
    length = shard_length(recipe.side, recipe.size)
    for split in SPLITS:
        for varying in types:
            whole = range(recipe.minibatches[split].get(varying, 0))
            for number, start in enumerate(range(0, len(whole), length)):
                part = whole[start : start + length]
                if writer.finished(split, varying, number, len(part)):
                    ready += len(part)
                else:
                    todo.append((split, varying, number, part))
    return todo, ready


def _render(scene: Scene, chunk: _Chunk, *, planner: Planner, side: int) -> Block:
    split, varying, indices = chunk
    block = render(scene, planner.plan(split, varying, indices), side=side)
    return block._replace(pixels=block.pixels.cpu())


def _alone(work: Callable[..., Block], scene: Scene, chunks: list[_Chunk]) -> _Blocks:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker: the order of additions is part of the bytes
    try:
        for chunk in chunks:
            yield work(scene, chunk)
    finally:
        torch.set_num_threads(threads)


def _together(
    work: Callable[..., Block], load: Callable[[], Scene], chunks: list[_Chunk], workers: int
) -> _Blocks:
    """Blocks in the order of the chunks, with few in flight."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(load, work)
    )
    flying: deque[Future[tuple[Any, ...]]] = deque()
    try:
        waiting = iter(chunks)
        for _ in range(3 * workers):
            flying.extend(pool.submit(_worker, chunk) for chunk in _take(waiting))
        while flying:
            arrays = flying.popleft().result()
            flying.extend(pool.submit(_worker, chunk) for chunk in _take(waiting))
            yield Block(*(torch.from_numpy(array) for array in arrays))
    except BrokenProcessPool:
        raise InputError(
            "expected every worker to live, found one killed, perhaps for want of memory; "
            "run the same command again with fewer --workers, finished shards are kept"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take(waiting: Iterator[_Chunk]) -> Iterator[_Chunk]:
    """The next chunk, if there is one."""
    for chunk in waiting:
        yield chunk
        return


_scene: Scene
_work: Callable[..., Block]


def _begin(load: Callable[[], Scene], work: Callable[..., Block]) -> None:
    """Set up a worker: one thread, deaf to Ctrl-C, gone when its parent is gone."""
    global _scene, _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, daemon=True).start()
    torch.set_num_threads(1)
    _scene, _work = load(), work


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _worker(chunk: _Chunk) -> tuple[Any, ...]:
    return tuple(part.numpy() for part in _work(_scene, chunk))
