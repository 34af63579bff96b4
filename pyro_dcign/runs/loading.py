"""A trained run from its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pyro_dcign.runs.checkpoint import best_checkpoint, load_parameters
from pyro_dcign.runs.prior import load_prior
from pyro_dcign.runs.run import Run, untrained_run


def load_run(
    folder: Path,
    *,
    checkpoint: Path | Literal["last", "best"] = "last",
    device: str | None = None,
    trusted: Sequence[str] = (),
    guide: str | type[Any] | None = None,
) -> Run:
    """A run with the parameters that it was trained to, and its fitted prior if it has one.

    Args:
        folder: The run directory.
        checkpoint: The newest, the one with the highest test ELBO, or a checkpoint's folder.
        device: auto, cpu or cuda; by default the run's, or a CPU where there is no GPU.
        trusted: Names of guides that are code from a file or module, and may be loaded.
        guide: Another guide of the same parameters: a class, or a name, which is then trusted.

    Raises:
        InputError: No such run, damage, or a guide that is not trusted.
    """
    run = untrained_run(folder, device=device, trusted=trusted, guide=guide)
    best = best_checkpoint(folder) if checkpoint == "best" else None
    load_parameters(run, checkpoint if isinstance(checkpoint, Path) else best)
    load_prior(run)
    return run
