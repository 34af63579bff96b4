"""Laws of units: what a factor is measured in changes no measure, and no other unit slips in."""

import dataclasses

import numpy as np
import pytest
import torch
from blobs import blobs, imported
from toy_run import toy_run, toy_set

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.circle import looks_periodic
from pyro_dcign.datasets.labelled import read_npz
from pyro_dcign.errors import InputError
from pyro_dcign.measures.calibration import calibrate
from pyro_dcign.measures.comparable import comparable
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.measures.tables import table
from pyro_dcign.style import value_label


@pytest.mark.parametrize("scales", [(1.0, 1.0), (4e-4, 4e-4), (40.0, 4e-4), (1e6, 1e-6)])
def test_pairs_are_the_same_in_every_unit(tmp_path, scales):
    np.savez(tmp_path / "a.npz", **blobs())
    np.savez(tmp_path / "b.npz", **blobs(scales=scales))
    a, b = read_npz(tmp_path / "a.npz"), read_npz(tmp_path / "b.npz")
    for name in ("x", "y"):
        for one, other in zip(a.pairs(name), b.pairs(name), strict=True):
            assert torch.equal(one, other)
    first, second = b.pairs("x")
    assert torch.equal(b.factors["y"][first], b.factors["y"][second])


def test_a_store_is_sound_in_a_small_unit(tmp_path, run):
    imported(tmp_path, scales=(1e-7, 1e-7))
    assert run("data", "check", tmp_path / "set")[0] == 0


def scaled(images, **by):
    factors = {name: values * by.get(name, 1.0) for name, values in images.factors.items()}
    return dataclasses.replace(images, factors=factors)


def test_radians_for_degrees_are_refused():
    run, images = toy_run(), toy_set()
    radians = scaled(images, azimuth=np.pi / 180, light=np.pi / 180)
    with pytest.raises(InputError, match="units"):
        evaluate(run, radians, calibrate(run, images))


def test_one_factor_in_another_unit_is_left_out_and_said():
    run, images = toy_run(), toy_set()
    found = evaluate(run, scaled(images, light=np.pi / 180), calibrate(run, images))
    assert set(found["factors"]["light"].values()) == {None}
    assert found["factors"]["azimuth"]["spearman"]["value"] > 0.99
    assert "note: light is left out" in table(found)


def test_images_outside_the_trained_range_are_left_out_and_said():
    run, images = toy_run(), toy_set()
    far = images.factors["azimuth"] > 70
    wide = dataclasses.replace(
        images,
        factors=images.factors | {"azimuth": images.factors["azimuth"] + 60.0 * far},
    )
    kept, strange, notes = comparable(run, wide)
    assert not strange
    assert len(kept) == int((~far).sum())
    assert any("azimuth goes from" in note for note in notes)
    with pytest.raises(InputError, match="within the network's ranges"):
        comparable(run, scaled(images, azimuth=1000.0))


def test_a_set_without_a_factor_of_the_network_is_refused():
    images = toy_set()
    other = dataclasses.replace(images, factors={"hue": images.factors["light"]})
    with pytest.raises(InputError, match="azimuth, light"):
        comparable(toy_run(), other)


@pytest.mark.parametrize(
    ("name", "limits", "value", "label"),
    [
        ("azimuth", FactorRange(-60.0, 60.0), -60.0, "−60°"),
        ("turn", FactorRange(0.0, 360.0, (), 360.0), 90.0, "90°"),
        ("scale", FactorRange(0.75, 1.25), 0.75, "0.75"),
        ("scale", FactorRange(0.75, 1.25), 1.0, "1"),
        ("x", FactorRange(-4e-4, 4e-4), -1.6e-4, "−0.00016"),
        ("x", FactorRange(-4000.0, 4000.0), 1200.0, "1200"),
        ("x", FactorRange(-1.0, 1.0), -0.001, "0"),
    ],
)
def test_a_value_is_written_in_its_factors_own_unit(name, limits, value, label):
    assert value_label(name, limits, value) == label


@pytest.mark.parametrize(
    ("limits", "period"),
    [
        (FactorRange(0.0, 345.0, tuple(15.0 * k for k in range(24))), 360.0),
        (FactorRange(0.0, 360.0, tuple(15.0 * k for k in range(25))), 360.0),
        (FactorRange(-180.0, 180.0), 360.0),
        (FactorRange(0.0, 5.5, tuple(np.arange(8) * np.pi / 4)), 2 * np.pi),
        (FactorRange(-90.0, 90.0), None),
        (FactorRange(0.0, 300.0, (0.0, 100.0, 200.0, 300.0)), None),
        (FactorRange(0.0, 360.0, (), 360.0), None),
    ],
)
def test_a_circle_is_recognised(limits, period):
    if period == 2 * np.pi:
        limits = dataclasses.replace(limits, high=limits.values[-1])
    assert looks_periodic(limits) == period


def test_the_ends_of_a_circle_are_one():
    circle = FactorRange(0.0, 360.0, (), 360.0)
    assert circle.apart(torch.tensor([0.0, 10.0]), torch.tensor([360.0, 190.0])).tolist() == [
        False,
        True,
    ]


def test_one_identity_gives_values_but_no_interval_rank_or_probe():
    run, images = toy_run(), toy_set(identities=1)
    found = evaluate(run, images, calibrate(run, toy_set()))
    assert (found["mse"]["low"], found["mse"]["high"]) == (None, None)
    azimuth = found["factors"]["azimuth"]
    assert (azimuth["spearman"], azimuth["leakage"], found["mig"]) == (None, None, None)
    assert "one identity" in table(found)


def test_two_identities_give_no_probe():
    run, images = toy_run(), toy_set(identities=2)
    found = evaluate(run, images, calibrate(run, toy_set()))
    assert found["mse"]["low"] is not None
    assert found["factors"]["azimuth"]["leakage"] is None
    assert "2 identities: no probes" in table(found)
