"""What training says of itself: a line of ``metrics.jsonl`` for each block of steps."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pyro_dcign.code import GraphicsCode
from pyro_dcign.datasets import Store
from pyro_dcign.errors import InputError
from pyro_dcign.files import naming, write_whole
from pyro_dcign.images import Images, intensities
from pyro_dcign.training.feed import Draws
from pyro_dcign.training.steps import History
from pyro_dcign.training.svi import TypedSVI
from pyro_dcign.varying import in_order

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Record:
    """What a block of steps did.

    Attributes:
        step: Steps taken so far.
        seconds: Spent on training so far, those of the processes that it was resumed from included.
        train: For each minibatch type met in the block, mean reconstruction and KL of an image.
        test: Reconstruction, KL and ELBO of a test image, unclamped; empty between evaluations.
    """

    step: int
    seconds: float
    train: dict[str, dict[str, float]]
    test: dict[str, float] = field(default_factory=dict)


def by_type(draws: Draws, history: History, code: GraphicsCode) -> dict[str, dict[str, float]]:
    """Mean reconstruction and KL of an image for each type of minibatch that was drawn."""
    terms = history.movedim(1, -1).flatten(0, 1).cpu()
    masks = draws.active.flatten(0, 1).cpu()
    met = {code.varying(mask): mask for mask in masks.unique(dim=0)}
    found = {}
    for name in in_order(met, code.extrinsic):
        reconstruction, kl = terms[(masks == met[name]).all(-1)].mean(0).tolist()
        found[name] = {"reconstruction": reconstruction, "kl": kl}
    return found


def append(folder: Path, record: Record) -> None:
    """Add a record to a run's metrics.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.
    """
    path = folder / METRICS
    # Unbuffered: a full disk is met here, once, and not again when the file is closed.
    with naming(path), path.open("ab", buffering=0) as file:
        file.write(json.dumps(vars(record)).encode() + b"\n")


def forget_later(folder: Path, step: int) -> None:
    """Drop the records of steps after this one, which a resumed run takes again."""
    path = folder / METRICS
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        write_whole(path, "".join(f"{line}\n" for line in lines if _is_by(step, line)))


def _is_by(step: int, line: str) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


TEST_IMAGES = 400


def held_out_images(store: Store) -> Images:
    """Images of test identities, spread evenly over the minibatch types."""
    each = []
    for varying in store.types:
        count = store.count("test", varying)
        wanted = min(count, max(1, TEST_IMAGES // (len(store.types) * store.size)))
        each += [store.minibatch("test", varying, i * count // wanted) for i in range(wanted)]
    if not each:
        raise InputError(f"{store.folder} needs test minibatches to evaluate on; make some")
    return intensities(torch.cat([minibatch.pixels for minibatch in each]))


def held_out_elbo(svi: TypedSVI, images: Images) -> dict[str, float]:
    """Mean ELBO of an image and its terms, unclamped, with draws of their own fixed seed."""
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        parts = [svi.evaluate(chunk) for chunk in images.split(100)]
    reconstruction, kl = (torch.cat(term).mean().item() for term in zip(*parts, strict=True))
    return {"reconstruction": reconstruction, "kl": kl, "elbo": -reconstruction - kl}
