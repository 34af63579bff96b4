"""Basel Face Models: 2009 (.mat, Paysan et al.), 2017 and 2019 (.h5, Gerig et al.)."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from pyro_dcign.errors import need_file, optional, refuse
from pyro_dcign.scenes.morphable import (
    MAX_TRIANGLES,
    MAX_VERTICES,
    MODES,
    Morphable,
    MorphableFaces,
    luma,
)

AXIS = 0.2  # the models are masks: the ears are at their back
KEYS_2009 = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")


def basel(
    *, path: Path | str, device: str | torch.device = "cpu", shadows: bool = True
) -> MorphableFaces:
    """The scene of faces of a Basel model.

    Args:
        path: ``01_MorphableModel.mat``, ``model2017-1_….h5`` or ``model2019_….h5``.
        device: Where to render.
        shadows: Whether faces throw shadows on themselves.

    Raises:
        InputError: No such file, or not such a model.
    """
    return MorphableFaces(read_basel(Path(path)), device=device, shadows=shadows)


def read_basel(path: Path) -> Morphable:
    """The model in a file; its ending says which kind.

    Raises:
        InputError: No such file, another ending, damage, or arrays that do not fit together.
    """
    need_file(path)
    if path.suffix not in (".mat", ".h5"):
        raise refuse(path, "a Basel model, .mat or .h5", path.suffix, "give --bfm that file")
    shape, tone, triangles = _read_2009(path) if path.suffix == ".mat" else _read_2017(path)
    vertices = len(shape[0])
    if len(tone[0]) != vertices or not 4 <= vertices <= MAX_VERTICES:
        raise refuse(path, f"4 to {MAX_VERTICES} vertices, each with a colour", vertices)
    if not 1 <= len(triangles) <= MAX_TRIANGLES or not (
        triangles.min() >= 0 and triangles.max() < vertices
    ):
        raise refuse(path, "triangles of these vertices", f"{triangles.shape}")
    if not all(np.isfinite(part).all() for part in (*shape, *tone)):
        raise refuse(path, "finite numbers", "NaN or infinity")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    grey = (luma(tone[0]), luma(tone[1]))
    return Morphable(*shape, *grey, triangles, AXIS, digest)


_Part = tuple[Float32[ndarray, "_ 3"], Float32[ndarray, "_ _ 3"]]


def _linear(mean: Any, basis: Any, deviation: Any) -> _Part:
    """Mean and modes from columns of interleaved coordinates."""
    k = min(MODES, basis.shape[1])
    scaled = np.asarray(basis[:, :k], np.float32) * deviation[:k].astype(np.float32)
    mean = np.asarray(mean, np.float32).reshape(-1, 3)
    return mean, np.ascontiguousarray(scaled.T).reshape(k, -1, 3)


def _fits(path: Path, name: str, mean: Any, basis: Any, deviation: Any) -> None:
    """Raise InputError unless shapes of a mean, its modes and their deviations agree."""
    n, k = (*basis, 0, 0)[:2]
    wanted = len(basis) == 2 and tuple(mean) == (n,) and tuple(deviation) == (k,) and k > 0
    if not wanted or n % 3 or n > 3 * MAX_VERTICES or k > 1000:
        raise refuse(path, f"{name}: a mean, modes and their variances", f"{mean} {basis}")


def _read_2009(path: Path) -> tuple[_Part, _Part, Any]:
    """MATLAB 5: standard deviations, texture 0 to 255, triangles from 1."""
    scipy = optional("scipy.io", "a Basel 2009 model's .mat")
    try:
        listed = {name: tuple(size) for name, size, _ in scipy.whosmat(path)}
    except Exception as error:  # SciPy raises whatever its parser stumbles over
        raise refuse(path, "an undamaged MATLAB file", error) from None
    for key in KEYS_2009:
        if key not in listed:
            raise refuse(path, f"the key {key}", ", ".join(list(listed)[:8]) or "none")
    for name in ("shape", "tex"):
        flat = [listed[name + part] for part in ("MU", "EV")]
        if any(len(size) != 2 or size[1] != 1 for size in flat):
            raise refuse(path, f"{name}MU and {name}EV as columns", flat)
        _fits(path, name, flat[0][:1], listed[name + "PC"], flat[1][:1])
    if len(listed["tl"]) != 2 or listed["tl"][1] != 3 or listed["tl"][0] > MAX_TRIANGLES:
        raise refuse(path, "tl as rows of three", listed["tl"])
    try:
        found = scipy.loadmat(path, variable_names=KEYS_2009)
    except Exception as error:
        raise refuse(path, "an undamaged MATLAB file", error) from None
    for key in KEYS_2009:
        if found[key].dtype.kind not in "fiu":
            raise refuse(path, f"numbers in {key}", found[key].dtype)
    shape, tex = (
        _linear(found[n + "MU"][:, 0], found[n + "PC"], found[n + "EV"][:, 0])
        for n in ("shape", "tex")
    )
    tone = (tex[0] / np.float32(255), tex[1] / np.float32(255))
    return shape, tone, found["tl"].astype(np.int64) - 1


def _read_2017(path: Path) -> tuple[_Part, _Part, Any]:
    """HDF5 (statismo): variances, colour 0 to 1, triangles from 0 in columns."""
    h5py = optional("h5py", "a Basel 2017 or 2019 model's .h5")
    try:
        with h5py.File(path, "r") as file:
            parts = []
            for name in ("shape", "color"):
                mean, basis, variance = (
                    _dataset(path, h5py, file, f"{name}/model/{key}")
                    for key in ("mean", "pcaBasis", "pcaVariance")
                )
                _fits(path, name, mean.shape, basis.shape, variance.shape)
                deviation = np.sqrt(np.maximum(variance[:], 0))
                parts.append(_linear(mean[:], basis[:, :MODES], deviation))
            cells = _dataset(path, h5py, file, "shape/representer/cells")
            if len(cells.shape) != 2 or cells.shape[0] != 3 or cells.shape[1] > MAX_TRIANGLES:
                raise refuse(path, "cells as three rows", cells.shape)
            return parts[0], parts[1], np.ascontiguousarray(cells[:].T.astype(np.int64))
    except (OSError, RuntimeError, KeyError) as error:
        raise refuse(path, "an undamaged HDF5 file", error) from None


def _dataset(path: Path, h5py: Any, file: Any, name: str) -> Any:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        raise refuse(path, f"numbers at {name}", ", ".join(list(file)[:8]) or "none")
    return found
