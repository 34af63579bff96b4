"""How familiar a picture is to a network, in words and numbers."""

import numpy as np
import pytest
from PIL import Image

import pyro_dcign as dcign
from pyro_dcign.measures.familiarity import judged

QUANTILES = {"0.5": 0.001, "0.95": 0.0015, "0.99": 0.002, "0.999": 0.003}


@pytest.mark.parametrize(
    ("error", "verdict"), [(0.001, "like"), (0.002, "like"), (0.005, "unlike"), (0.01, "nothing")]
)
def test_the_verdict_follows_the_99_percent_quantile(error: float, verdict: str) -> None:
    found = judged(error, QUANTILES)
    assert found.verdict.split()[0] == verdict
    assert found.times == pytest.approx(error / 0.001)
    assert found.strange == (verdict == "nothing")


@pytest.fixture(scope="module")
def net():
    return dcign.load("faces", device="cpu")


def test_a_head_is_familiar_and_noise_is_not(net) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    head, strange = (net.encode(x).familiarity[0] for x in ("docs/face.png", noise))
    assert not head.strange
    assert strange.strange


def test_render_says_what_it_read_and_stops_at_what_is_no_head(run, tmp_path, monkeypatch) -> None:
    out = tmp_path / "views.png"
    status, said, _ = run("render", "docs/face.png", "--azimuth", "0,30", "--out", out)
    assert status == 0
    assert "read azimuth −2" in said.replace("-", "−")
    assert "times that of test images" in said
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    words = ["render", tmp_path / "noise.png", "--azimuth", "0", "--out", tmp_path / "noise-v.png"]
    status, _, err = run(*words)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "--force" in err
    assert not (tmp_path / "noise-v.png").exists()
    assert run(*words, "--force")[0] == 0
    assert (tmp_path / "noise-v.png").exists()
