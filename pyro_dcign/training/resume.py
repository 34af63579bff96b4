"""Going on with a run exactly where a checkpoint was written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_dcign.config import completed, settings_of
from pyro_dcign.errors import InputError
from pyro_dcign.runs import (
    OPTIMIZER,
    RANDOM,
    STATE,
    Run,
    load_parameters,
    newest_checkpoint,
    read_json,
    read_tensors,
)
from pyro_dcign.training.optimizers import kept_of

MAY_CHANGE = {"data", "device", "steps", "evaluate_every", "checkpoint_every"}
"""Settings that a resumed run may be given anew."""


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of every generator that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on drawing where :func:`random_state` was taken."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def restore(
    run: Run, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Load parameters and moments of the newest sound checkpoint, or None where there is none.

    Returns:
        Its state, and the generators of every process.

    Raises:
        InputError: A checkpoint of a run with other settings, all named, or one that another
            program wrote.
    """
    found = newest_checkpoint(run.folder)
    if found is None:
        return None
    try:
        state: dict[str, Any] = read_json(found / STATE)
        began, now = completed(state["config"]), settings_of(run.config)
        differing = [k for k in now if k not in MAY_CHANGE and began[k] != now[k]]
        step = state["step"]
        if type(step) is not int or not 0 <= step <= 10**9:
            raise ValueError(f"step {step!r}")
        if type(state["seconds"]) is not float or type(state["schedule"]) is not dict:
            raise ValueError("seconds or schedule")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{found} is to be a checkpoint of a fit: {error!r}; restore it") from None
    if differing:
        pairs = "; ".join(f"{k} {began[k]!r}, not {now[k]!r}" for k in differing)
        raise InputError(
            f"{run.folder} was begun with {pairs}; put that back into its config.toml, or begin "
            "a new run"
        )
    load_parameters(run, found)
    _restore_moments(optimizer, found / OPTIMIZER)
    return state, read_tensors(found / RANDOM, 2**24)


def _restore_moments(optimizer: torch.optim.Optimizer, path: Path) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    wanted = kept_of(optimizer)
    moments: dict[int, dict[str, Tensor]] = {}
    try:
        for key, read in read_tensors(path, 3 * sum(p.nbytes for p in parameters)).items():
            name, _, index = key.rpartition(".")
            if name not in wanted[int(index)] or not read.is_floating_point():
                raise ValueError(f"{read.dtype} {key}")
            # The fused kernel walks memory: moments need the strides of their parameter.
            like = parameters[int(index)]
            held = read if name == "step" else torch.empty_like(like).copy_(read.view_as(like))
            moments.setdefault(int(index), {})[name] = held
        if any(set(held) != wanted[index] for index, held in moments.items()):
            raise ValueError("a parameter without all of its moments")
        if any("step" in held and held["step"].dim() for held in moments.values()):
            raise ValueError("steps that are no number")
    except (ValueError, IndexError, RuntimeError) as error:
        raise InputError(
            f"{path} is to hold the optimiser's moments: {error}; restore the file"
        ) from None
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
