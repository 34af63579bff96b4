"""Opening a trained run, and guides that are classes of the user's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import nn

from pyro_dcign.errors import InputError
from pyro_dcign.model import known_guides, load_guide
from pyro_dcign.runs import Run, default_run, load_run, people_run

SHIPPED = {"faces": default_run, "people": people_run}
"""Networks that come with the package."""


def opened(
    name: Path | str,
    *,
    guide: Any = None,
    device: str | None = None,
    trusted: tuple[str, ...] = (),
    checkpoint: str = "last",
) -> Run:
    """A run with its trained parameters.

    Args:
        name: Of a shipped network, or a run's folder; a Path is always a folder.
        guide: Another guide of the same parameters: a class, or a name, which is then trusted.
        device: auto, cpu or cuda.
        trusted: Further names of guides that may be loaded.
        checkpoint: "last", or "best" by its test ELBO.

    Raises:
        InputError: No such run, damage, or a guide that is none or not the run's.
    """
    shipped = isinstance(name, str) and name in SHIPPED
    folder = SHIPPED[str(name)]() if shipped else Path(name)
    if guide is not None and not isinstance(guide, str):
        check_guide(guide)
    if not folder.is_dir():
        raise InputError(
            f"a network is one of {', '.join(SHIPPED)} or a run's folder, {folder} is none; "
            "check the path"
        )
    where: Any = checkpoint
    return load_run(folder, checkpoint=where, device=device, trusted=trusted, guide=guide)


def check_guide(guide: Any) -> None:
    """Raise InputError unless this is a class that may be a guide."""
    if not (isinstance(guide, type) and issubclass(guide, nn.Module)):
        raise InputError(
            f"guide is a name or a class derived from torch.nn.Module, got {guide!r}; see guides/"
        )


def name_of(guide: type[Any]) -> str:
    """What a config says of a guide's class: its known name, or MODULE:CLASS."""
    for name in known_guides():
        if load_guide(name) is guide:
            return name
    return f"{guide.__module__}:{guide.__qualname__}"


def check_sites(run: Run) -> None:
    """Raise InputError unless the guide samples each factor's site once, of the right size."""
    side = run.config.side
    images = torch.full((2, 1, side, side), 0.5, device=run.device)
    wanted = {name: (2, size) for name, size in run.code.sizes.items()}
    with torch.random.fork_rng(devices=[]), torch.no_grad(), pyro.validation_enabled(False):
        try:
            nodes: Any = poutine.trace(run.guide).get_trace(images).nodes
        except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
            raise InputError(
                f"guide {run.config.guide} is to take images of {side} × {side}, but fails: "
                f"{error}; mend it"
            ) from error
    found = {
        name: tuple(node["value"].shape)
        for name, node in nodes.items()
        if node["type"] == "sample" and name in wanted
    }
    if found != wanted:
        raise InputError(
            f"guide {run.config.guide} is to sample {_listed(wanted)} for 2 images, but samples "
            f"{_listed(found) or 'none of them'}; mend it"
        )


def _listed(sites: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sites.items())
