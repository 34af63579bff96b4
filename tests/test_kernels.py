"""Laws of the fused kernels: the plain path's values and gradients, in Triton's interpreter.

The interpreter is chosen when Triton is imported, so the comparison runs in a process of its own.
On a GPU, benchmarks/gpu_check.py compares the compiled kernels with float64.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyro_dcign.machine import compute_dtype, usable

HERE = Path(__file__).parent
NAMES = ["unpool", "unpool_grey", "unpool_cropped", "pool", "pool_odd", "first", "normal"]
NAMES += ["normal_prior", "bernoulli", "clamp_mean", "clamp_first", "clamp_mean_mixed"]
NAMES += ["clamp_first_mixed", "draw", "nearest", "nearest_culled", "nearest_one"]
NAMES += [
    f"residual_{kind}{size}" for kind in ("encoder", "decoder") for size in ("", "_even", "_padded")
]
NAMES += [f"step_{elbo}_{clamp}" for elbo in ("trace", "mean_field") for clamp in ("mean", "first")]
NAMES += ["step_trace_exchange", "step_trace_none"]


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / "interpreted.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "0-dimensional arrays" in done.stderr:
        pytest.skip("this Triton's interpreter needs numpy below 2.4")
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_has_the_plain_paths_values_and_gradients(name: str, errors) -> None:
    # Single precision sums up to 2,500 terms: 2,500 half units in the last place, at worst 1.5e-4;
    # a random walk of them is fifty times less.
    assert errors[name] < 5e-6


@pytest.mark.parametrize("scene", ["heads", "chairs", "dark", "people"])
def test_kernels_shade_to_a_grey_level(scene: str, errors) -> None:
    # The rest: samples on a shadow's edge, where the last bit decides.
    assert errors[f"picture_{scene}"] < 1e-3


def test_kernels_take_no_tensor_of_a_cpu() -> None:
    assert not usable(torch.zeros(2))


def test_convolutions_run_in_autocasts_precision() -> None:
    x = torch.zeros(2)
    assert compute_dtype(x) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(x) == torch.bfloat16
