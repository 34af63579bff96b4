"""Basel Face Models: 2009 (.mat, Paysan et al.), 2017 and 2019 (.h5, Gerig et al.)."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy import ndarray

from pyro_dcign.errors import need_file, refuse
from pyro_dcign.files import datasets, variables
from pyro_dcign.scenes.morphable import (
    MAX_TRIANGLES,
    MAX_VERTICES,
    MODES,
    Morphable,
    MorphableFaces,
    check_model,
    luma,
)

AXIS = 0.2  # the models are masks: the ears are at their back
KEYS_2017 = ("mean", "pcaBasis", "pcaVariance")
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
    if len(tone[0]) != len(shape[0]):
        raise refuse(path, "a colour for each vertex", f"{len(tone[0])} of {len(shape[0])}")
    if not all(np.isfinite(part).all() for part in (*shape, *tone)):
        raise refuse(path, "finite numbers", "NaN or infinity")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    grey = (luma(tone[0]), luma(tone[1]))
    model = Morphable(*shape, *grey, triangles, AXIS, digest)
    check_model(path, model)
    return model


_Part = tuple[Float32[ndarray, "_ 3"], Float32[ndarray, "_ _ 3"]]


def _linear(mean: Any, basis: Any, deviation: Any) -> _Part:
    """Mean and modes from columns of interleaved coordinates; what overflows is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.asarray(basis, np.float32) * deviation.astype(np.float32)
        mean = np.asarray(mean, np.float32).reshape(-1, 3)
    return mean, np.ascontiguousarray(scaled.T).reshape(len(deviation), -1, 3)


def _fits(path: Path, name: str, mean: Any, basis: Any, deviation: Any) -> int:
    """Modes to read, or InputError unless shapes of mean, modes and their deviations agree."""
    n, k = (*basis, 0, 0)[:2]
    wanted = len(basis) == 2 and tuple(mean) == (n,) and tuple(deviation) == (k,) and k > 0
    if not wanted or n % 3 or n > 3 * MAX_VERTICES or k > 1000:
        raise refuse(path, f"{name}: a mean, modes and their variances", f"{mean} {basis}")
    return int(min(MODES, k))


def _read_2009(path: Path) -> tuple[_Part, _Part, Any]:
    """MATLAB 5: standard deviations, texture 0 to 255, triangles from 1."""
    parts: list[_Part] = []
    with variables(path) as found:
        for key in KEYS_2009:
            if key not in found:
                raise refuse(path, f"numbers called {key}", ", ".join(list(found)[:8]) or "none")
        for name in ("shape", "tex"):
            mean, basis, deviation = (found[name + part] for part in ("MU", "PC", "EV"))
            flat = [mean.shape, deviation.shape]
            if any(len(size) != 2 or size[1] != 1 for size in flat):
                raise refuse(path, f"{name}MU and {name}EV as columns", flat)
            k = _fits(path, name, mean.shape[:1], basis.shape, deviation.shape[:1])
            columns = mean.read()[:, 0], basis.read(k), deviation.read()[:k, 0]
            parts.append(_linear(*columns))
        corners = found["tl"]
        if len(corners.shape) != 2 or corners.shape[1] != 3 or corners.shape[0] > MAX_TRIANGLES:
            raise refuse(path, "tl as rows of three", corners.shape)
        triangles = _whole(path, corners.read()) - 1
    shape, tex = parts
    return shape, (tex[0] / np.float32(255), tex[1] / np.float32(255)), triangles


def _read_2017(path: Path) -> tuple[_Part, _Part, Any]:
    """HDF5 (statismo): variances, colour 0 to 1, triangles from 0 in columns."""
    keys = [f"{part}/model/{key}" for part in ("shape", "color") for key in KEYS_2017]
    parts: list[_Part] = []
    with datasets(path, *keys, "shape/representer/cells") as found:
        for name, (mean, basis, variance) in (("shape", found[:3]), ("color", found[3:6])):
            k = _fits(path, name, mean.shape, basis.shape, variance.shape)
            deviation = np.sqrt(np.maximum(variance.read()[:k], 0))
            rows = (0, basis.shape[0])
            parts.append(_linear(mean.read(), basis.read(rows, (0, k)), deviation))
        cells = found[6]
        if len(cells.shape) != 2 or cells.shape[0] != 3 or cells.shape[1] > MAX_TRIANGLES:
            raise refuse(path, "cells as three rows", cells.shape)
        return parts[0], parts[1], np.ascontiguousarray(_whole(path, cells.read()).T)


def _whole(path: Path, corners: Any) -> Int64[ndarray, "_ _"]:
    if not (np.abs(corners.astype(np.float64)) <= MAX_TRIANGLES).all():
        raise refuse(path, "numbers of vertices", "others")
    whole: Int64[ndarray, "_ _"] = corners.astype(np.int64)
    return whole
