"""What is measured of one trained run: the package's measures, and the kink."""

import time
from pathlib import Path
from typing import Any

import torch
from kink import kink

from pyro_dcign.datasets.labelled import read_npz
from pyro_dcign.errors import InputError
from pyro_dcign.measures.calibration import calibrate, write_calibration
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.runs import load_run
from pyro_dcign.runs.codes import encode


def measure(folder: Path, sets: tuple[Path, Path], device: str) -> dict[str, Any]:
    """Calibrate a run and measure it on the test images; ``failed`` says what is wrong with it."""
    began = time.monotonic()
    torch.set_num_threads(min(4, torch.get_num_threads()))
    run = load_run(folder, device=device)
    train, test = (read_npz(path) for path in sets)
    try:
        calibration = calibrate(run, train)
        found: dict[str, Any] = {"measures": evaluate(run, test, calibration)}
    except InputError as error:
        return {"failed": str(error)}
    write_calibration(calibration, folder)
    for name, limits in run.factors.items():
        curve = calibration.curves.get(name)
        if name == "azimuth" and curve and len(curve.indices) == 1 and not limits.period:
            codes = encode(run, test.pixels)[:, curve.indices[0]]
            found["kink"] = kink(codes, test.factors[name], test.identity, limits)
    return found | {"measuring_seconds": round(time.monotonic() - began, 1)}
