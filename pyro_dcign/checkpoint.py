"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pyro_dcign.errors import InputError
from pyro_dcign.run import Run

FOLDER = "checkpoints"
PARAMETERS = "parameters.safetensors"
OPTIMIZER = "optimizer.safetensors"
RANDOM = "random.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def save_checkpoint(
    run: Run,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    *,
    random: Mapping[str, Tensor] | None = None,
    keep: int = 3,
) -> Path:
    """Write parameters, optimiser moments, generators and ``state`` (with its "step").

    Generators are this process's, or ``random`` where several processes train together.
    The files are written to a temporary folder, synced, and renamed; older checkpoints than the
    last ``keep`` are removed after that.
    """
    parent = run.folder / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"step-{state['step']:09d}"
    temporary = parent / f".{final.name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        moments = optimizer.state_dict()["state"]
        flat = {f"{name}.{i}": t for i, s in moments.items() for name, t in s.items()}
        tensors = {PARAMETERS: run.modules.state_dict(), OPTIMIZER: flat}
        tensors[RANDOM] = dict(random or random_state(run.device))
        for name, held in tensors.items():
            save_file({k: v.detach().cpu().contiguous() for k, v in held.items()}, temporary / name)
        (temporary / STATE).write_text(json.dumps(state), encoding="utf-8")
        digests = {path.name: _digest(path) for path in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps(digests, indent=1), encoding="utf-8")
        for path in temporary.iterdir():
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        _sync(parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in sorted(parent.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _sound(folder: Path) -> bool:
    try:
        digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {PARAMETERS, OPTIMIZER, RANDOM, STATE} <= set(digests) and all(
            Path(name).name == name and _digest(folder / name) == digest
            for name, digest in digests.items()
        )
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def sound_checkpoints(folder: Path) -> Iterator[Path]:
    """The run's checkpoints from the newest on, without those that are partial or damaged."""
    for found in sorted((folder / FOLDER).glob("step-*"), reverse=True):
        if _sound(found):
            yield found
        else:
            warnings.warn(f"{found} is damaged and is skipped", stacklevel=2)


def load_parameters(run: Run, checkpoint: Path | None = None) -> None:
    """Load the newest sound checkpoint's parameters into the run's networks.

    A network made to be shared has one ``parameters.safetensors`` beside its config instead.

    Raises:
        InputError: No sound checkpoint, or one of other networks than the config's.
    """
    if checkpoint is None and (run.folder / PARAMETERS).is_file():
        return load_module_file(run, run.folder / PARAMETERS)
    found = checkpoint or next(sound_checkpoints(run.folder), None)
    if found is None:
        raise InputError(f"{run.folder} has no sound checkpoint to read; fit the run again")
    return load_module_file(run, found / PARAMETERS)


def load_module_file(run: Run, path: Path) -> None:
    """Load one safetensors file of parameters into the run's networks.

    Raises:
        InputError: A damaged file, or one with other names or shapes than the networks'.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is to be safetensors: {error}; restore the file") from None
    wanted = {name: t.shape for name, t in run.modules.state_dict().items()}
    if wanted != {name: t.shape for name, t in tensors.items()}:
        raise InputError(f"{path} is to hold the networks of {run.folder}/config.toml; restore it")
    run.modules.load_state_dict(tensors)


def restore(
    run: Run, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Load parameters and moments of the newest sound checkpoint, or None where there is none.

    Returns:
        Its state, and the generators of every process.
    """
    found = next(sound_checkpoints(run.folder), None)
    if found is None:
        return None
    load_parameters(run, found)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, read in load_file(found / OPTIMIZER).items():
        name, _, index = key.rpartition(".")
        # The fused kernel walks memory: moments need the strides of their parameter.
        held = torch.empty_like(parameters[int(index)]).copy_(read) if read.dim() else read
        moments.setdefault(int(index), {})[name] = held
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    state: dict[str, Any] = json.loads((found / STATE).read_text(encoding="utf-8"))
    return state, load_file(found / RANDOM)
