"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all."""

import hashlib
import json
import math
import os
import platform
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyro
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pyro_dcign import __version__
from pyro_dcign.config import settings_of
from pyro_dcign.errors import InputError
from pyro_dcign.files import content, digest, naming, sync
from pyro_dcign.runs.run import Run

FOLDER = "checkpoints"
PARAMETERS = "parameters.safetensors"
OPTIMIZER = "optimizer.safetensors"
RANDOM = "random.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"
FILES = {PARAMETERS, OPTIMIZER, RANDOM, STATE}

_MAX_JSON = 2**20


def save_checkpoint(
    run: Run,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    *,
    random: Mapping[str, Tensor],
    keep: int = 3,
) -> Path:
    """Write parameters, optimiser moments, generators and ``state``.

    The state has its "step" and, where it was measured, the "elbo" of a test image. The run's
    settings and the versions of what computed are added to it. ``random`` is the generators' state.

    The files are written to a temporary folder, synced, and renamed. Then older checkpoints than
    the last ``keep`` are removed, but for the one with the best ELBO. A sound checkpoint of the
    same step stays as it is.

    Raises:
        OSError: The disk is full, or the folder cannot be written to; older checkpoints stay.
    """
    parent = run.folder / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"step-{state['step']:09d}"
    if _sound(final):
        return final
    moments = optimizer.state_dict()["state"]
    tensors: dict[str, Mapping[str, Tensor]] = {
        PARAMETERS: run.modules.state_dict(),
        OPTIMIZER: {f"{name}.{i}": t for i, held in moments.items() for name, t in held.items()},
        RANDOM: random,
    }
    versions = {"pyro-dcign": __version__, "torch": torch.__version__, "pyro": pyro.__version__}
    versions |= {"python": platform.python_version(), "machine": platform.machine()}
    said = {**state, "config": settings_of(run.config), "versions": versions}
    temporary = parent / f".{final.name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        digests = {}
        for name, held in tensors.items():
            digests[name] = _write(temporary / name, _serialized(held))
        digests[STATE] = _write(temporary / STATE, json.dumps(said).encode())
        _write(temporary / MANIFEST, _canonical(digests))
        sync(temporary)
        _remove(final)
        temporary.rename(final)
        sync(parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    found = sorted(parent.glob("step-*"))
    best = max(found, key=_elbo)
    for old in found[:-keep]:
        if old != best:
            _remove(old)
    return final


def tidy(folder: Path) -> None:
    """Remove what a killed process was writing or removing; only for who has locked the run."""
    for left in (folder / FOLDER).glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)


def _serialized(tensors: Mapping[str, Tensor]) -> bytes:
    try:
        return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    except BaseException as error:
        # The library panics where it gets no memory for the bytes.
        if type(error).__name__ == "PanicException":
            raise MemoryError(f"none to write a checkpoint with: {error}") from None
        raise


def _write(path: Path, data: bytes) -> str:
    with naming(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _remove(folder: Path) -> None:
    """Remove a folder under another name, so that a half-removed one is no checkpoint."""
    if folder.exists():
        gone = folder.with_name(f".{folder.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _canonical(digests: Mapping[str, str]) -> bytes:
    return json.dumps(digests, indent=1, sort_keys=True).encode()


def read_json(path: Path) -> Any:
    """A small JSON file; OSError or ValueError where it is none."""
    return json.loads(content(path, _MAX_JSON))


def _sound(folder: Path) -> bool:
    try:
        digests = read_json(folder / MANIFEST)
        return (
            set(digests) == FILES
            and (folder / MANIFEST).read_bytes() == _canonical(digests)
            and all(digest(folder / name) == wanted for name, wanted in digests.items())
        )
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def _elbo(checkpoint: Path) -> float:
    """The test ELBO of a checkpoint, or -inf where none was measured."""
    try:
        found = read_json(checkpoint / STATE).get("elbo")
        return float(found) if isinstance(found, float) and math.isfinite(found) else -math.inf
    except (OSError, ValueError, AttributeError, RecursionError):
        return -math.inf


def sound_checkpoints(folder: Path) -> Iterator[Path]:
    """The run's checkpoints from the newest on, without those that are partial or damaged."""
    for found in sorted((folder / FOLDER).glob("step-*"), reverse=True):
        if _sound(found):
            yield found
        else:
            warnings.warn(f"{found} is damaged and is skipped", stacklevel=2)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest sound checkpoint, or None where none was ever written.

    Raises:
        InputError: Every one is damaged.
    """
    found = next(sound_checkpoints(folder), None)
    if found is None and any((folder / FOLDER).glob("step-*")):
        raise InputError(
            f"{folder / FOLDER} has no sound checkpoint, every one is damaged; restore one, or "
            "remove that folder to train from the beginning"
        )
    return found


def best_checkpoint(folder: Path) -> Path:
    """The sound checkpoint with the highest test ELBO.

    Raises:
        InputError: No sound checkpoint, or none whose ELBO was measured.
    """
    found = max(sound_checkpoints(folder), key=_elbo, default=None)
    if found is None or _elbo(found) == -math.inf:
        raise InputError(f"{folder} has no checkpoint with a test ELBO; use the last one")
    return found


def load_parameters(run: Run, checkpoint: Path | None = None) -> None:
    """Load a checkpoint's parameters, by default the newest sound one's, into the run's networks.

    A network made to be shared has one ``parameters.safetensors`` beside its config instead.

    Raises:
        InputError: No sound checkpoint, or one of other networks than the config's.
    """
    run.model.step = None
    if checkpoint is None and (run.folder / PARAMETERS).is_file():
        return load_module_file(run, run.folder / PARAMETERS)
    found = checkpoint or newest_checkpoint(run.folder)
    if found is None:
        raise InputError(f"{run.folder} has no checkpoint to read; fit the run again")
    load_module_file(run, found / PARAMETERS)
    digits = found.name.removeprefix("step-")
    run.model.step = int(digits) if digits.isdecimal() else None


def load_module_file(run: Run, path: Path) -> None:
    """Load one safetensors file of parameters into the run's networks.

    Raises:
        InputError: A damaged file, one with other names, shapes or dtypes than the networks', or
            with numbers that are not finite.
    """
    wanted = run.modules.state_dict()
    tensors = read_tensors(path, sum(t.nbytes for t in wanted.values()))
    if {n: t.shape for n, t in wanted.items()} != {n: t.shape for n, t in tensors.items()}:
        raise InputError(
            f"{path} is to hold the networks of {run.folder}/config.toml with the guide "
            f"{run.config.guide!r}; restore it, or name the guide that it was trained with"
        )
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise InputError(f"{path} is to hold finite numbers, {name} does not; restore the file")
    run.modules.load_state_dict(tensors)


def read_tensors(path: Path, size: int) -> dict[str, Tensor]:
    """A safetensors file of up to so many bytes of tensors, checked before it is read.

    Raises:
        InputError: A larger or a damaged file.
    """
    try:
        if path.stat().st_size > size + _MAX_JSON:
            raise InputError(
                f"{path} is to hold {size} bytes of tensors, but is larger; restore the file"
            )
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is to be safetensors: {error}; restore the file") from None
