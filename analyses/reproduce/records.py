"""How results are written: JSON with a line a run, histories, and sets of images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyro_dcign.datasets.labelled import EvaluationSet
from pyro_dcign.files.disk import whole


def as_json(found: Mapping[str, Any]) -> str:
    """JSON of six digits with a line for each run, row and call; what is not finite is null."""

    def lines(value: Any, depth: int) -> str:
        if depth and isinstance(value, Mapping) and value:
            inner = (f"{json.dumps(key)}: {lines(one, depth - 1)}" for key, one in value.items())
            return "{\n" + ",\n".join(inner) + "\n}"
        return json.dumps(_plain(value), allow_nan=False)

    return lines(found, 2) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def history(path: Path) -> tuple[list[list[float]], float]:
    """Test ELBOs by step, and the seconds of the processes whose steps count."""
    curve: dict[int, float] = {}
    total, seconds, step = 0.0, 0.0, 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut off by a kill
            continue
        if record["seconds"] < seconds and record["step"] > step:
            total += seconds  # taken up again where it had stopped, and not begun anew
        seconds, step = record["seconds"], record["step"]
        if record["test"]:
            curve[step] = round(record["test"]["elbo"], 2)
    return [[step, elbo] for step, elbo in sorted(curve.items())], round(total + seconds, 2)


def write_images(images: EvaluationSet, path: Path) -> None:
    """Write a set as the plain FILE.npz, whole or not at all."""
    columns = {f"factor_{name}": values.numpy() for name, values in images.factors.items()}
    pixels, identity = images.pixels.numpy(), images.identity.numpy()
    with whole(path) as temporary:
        np.savez(temporary, images=pixels, identity=identity, **columns)
