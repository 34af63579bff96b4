"""The network that ships: render works straight after installation."""

import pytest
import torch

from pyro_dcign.measures.calibration import open_calibration
from pyro_dcign.runs import default_run, load_run
from pyro_dcign.runs.checkpoint import PARAMETERS
from pyro_dcign.runs.codes import encode
from pyro_dcign.scenes.scene import load_scene


@pytest.fixture(scope="module")
def run():
    run = load_run(default_run(), device="cpu")
    return run


def test_the_network_is_small_and_carries_its_card() -> None:
    assert (default_run() / PARAMETERS).stat().st_size < 3_000_000
    assert "Limits" in (default_run() / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert 'data = ""' in (default_run() / "config.toml").read_text(encoding="utf-8")


def test_the_network_reads_the_azimuth_of_heads_it_never_saw(run) -> None:
    wanted = torch.tensor([-60.0, -30.0, 0.0, 30.0, 60.0]).repeat(8)
    identity = (2**30 + 7_000 + torch.arange(8)).repeat_interleave(5)
    factors = {
        "azimuth": wanted,
        "elevation": torch.zeros(40),
        "light": torch.full((40,), 30.0),
    }
    pixels = load_scene("faces").render(identity, factors, side=64)
    read = open_calibration(run).factor_values("azimuth", encode(run, pixels))
    # its errors over all poses and lights have a standard deviation of some 5 degrees
    assert (torch.as_tensor(read) - wanted).abs().median() < 10
