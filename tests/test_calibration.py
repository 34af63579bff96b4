import json

import pytest
import torch
from toy_run import FULL_CIRCLE, toy_run, toy_set

from pyro_dcign.errors import InputError
from pyro_dcign.measures.calibration import FILE, calibrate, read_calibration, write_calibration
from pyro_dcign.runs.codes import encode


def test_a_rising_and_a_falling_line_are_recovered():
    found = calibrate(toy_run(), toy_set())
    degrees = torch.tensor([-60.0, -20.0, 0.0, 40.0])
    assert torch.allclose(found.latents("azimuth", degrees), -degrees[:, None] / 40, atol=0.05)
    assert torch.allclose(found.latents("light", degrees), degrees[:, None] / 40, atol=0.05)


def test_values_read_back_from_codes_are_the_true_ones():
    images = toy_set(seed=1)
    run = toy_run()
    codes = encode(run, images.pixels)
    found = calibrate(run, toy_set())
    inner = images.factors["azimuth"].abs() < 75
    read = found.factor_values("azimuth", codes)
    assert torch.allclose(read[inner], images.factors["azimuth"][inner], atol=3.0)


def test_a_full_circle_with_two_latents_is_a_closed_curve():
    found = calibrate(toy_run(ranges=FULL_CIRCLE), toy_set(ranges=FULL_CIRCLE))
    angles = torch.tensor([0.0, 90.0, 225.0, 360.0])
    circle = torch.stack([angles.deg2rad().cos(), angles.deg2rad().sin()], -1)
    assert torch.allclose(found.latents("azimuth", angles), circle, atol=0.05)
    codes = torch.zeros(4, 6)
    codes[:, :2] = circle
    away = (found.factor_values("azimuth", codes) - angles + 180) % 360 - 180
    assert away.abs().max() < 3
    assert not found.curve("azimuth").note


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_an_entangled_code_is_read_where_it_varies_most(shift):
    found = calibrate(toy_run(handler="none"), toy_set(shift=shift))
    assert found.curve("azimuth").indices == ((0 + shift) % 5,)
    assert found.curve("light").indices == ((1 + shift) % 5,)


def test_an_edit_changes_the_factors_latents_and_no_other():
    found = calibrate(toy_run(), toy_set())
    codes = torch.randn(3, 5)
    edited = found.edit(codes, "light", torch.tensor([-40.0, 0.0, 40.0]))
    assert torch.equal(edited[:, [0, 2, 3, 4]], codes[:, [0, 2, 3, 4]])
    assert torch.allclose(edited[:, 1], torch.tensor([-1.0, 0.0, 1.0]), atol=0.05)


def test_a_calibration_survives_its_file(tmp_path):
    run = toy_run(tmp_path)
    found = calibrate(run, toy_set())
    write_calibration(found, tmp_path)
    assert read_calibration(run) == found


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "other"},
        {"factors": {"hue": {}}},
        {"factors": {"light": {"indices": [7], "values": [0, 1], "codes": [[0], [1]]}}},
        {"factors": {"light": {"indices": [1], "values": [1, 0], "codes": [[0], [1]]}}},
        {"factors": {"light": {"indices": [1], "values": [0, 1], "codes": [[0]]}}},
        {"factors": {"light": {"indices": [1], "values": [0, "x"], "codes": [[0], [1]]}}},
        {"factors": []},
    ],
)
def test_a_damaged_calibration_is_refused_in_one_line(tmp_path, damage):
    run = toy_run(tmp_path)
    write_calibration(calibrate(run, toy_set()), tmp_path)
    held = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(held | damage))
    with pytest.raises(InputError, match="expected a calibration"):
        read_calibration(run)


def test_a_missing_calibration_names_the_remedy(tmp_path):
    with pytest.raises(InputError, match="evaluate the run"):
        read_calibration(toy_run(tmp_path))
