"""What training says of itself: a line of ``metrics.jsonl`` for each block of steps."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from pyro_dcign.files.disk import naming, write_whole
from pyro_dcign.training.feed import Draws
from pyro_dcign.training.steps import History

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


def by_type(
    draws: Draws, history: History, factors: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Mean reconstruction and KL of an image for each type of minibatch that was drawn."""
    terms = history.movedim(1, -1).flatten(0, 1).cpu()
    types = draws.active.flatten(0, 1).cpu()
    found = {}
    for i, name in enumerate(factors):
        chosen = terms[types[:, i]]
        if len(chosen):
            reconstruction, kl = chosen.mean(0).tolist()
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
