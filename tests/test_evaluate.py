import json
import math

import numpy as np
import pytest
import torch
from toy_run import FULL_CIRCLE, toy_run, toy_set

from pyro_dcign.datasets.labelled import EvaluationSet
from pyro_dcign.errors import InputError
from pyro_dcign.measures import intervals
from pyro_dcign.measures.calibration import calibrate
from pyro_dcign.measures.evaluation import FACTOR_MEASURES, evaluate
from pyro_dcign.measures.tables import DEAD, table


@pytest.fixture(scope="module")
def measures():
    run = toy_run()
    return evaluate(run, toy_set(seed=1), calibrate(run, toy_set()))


def test_a_perfect_code_gets_perfect_marks(measures):
    for values in measures["factors"].values():
        assert values["spearman"]["value"] > 0.999
        assert values["leakage"]["value"] < 0.1
        assert values["leakage_means"]["value"] < 0.1
        assert values["rerender_ratio"]["value"] == pytest.approx(1, abs=0.01)
    # Five of 256 pixels are explained; the others are uniform on [0, 1], read as 1/2.
    assert measures["mse"]["value"] == pytest.approx(251 / 256 / 12, rel=0.01)
    assert measures["active_units"] == 5


def test_not_editing_leaves_the_factors_pixel_wrong(measures):
    # One pixel of 256 is 1/10 of the latent, which differs by two uniform draws of width 4.
    edit = 2 * 4**2 / 12 / 100 / 256
    for values in measures["factors"].values():
        found = values["no_edit_mse"]["value"] - values["rerender_mse"]["value"]
        assert found == pytest.approx(edit, rel=0.35)


def test_a_perfect_code_swaps_whole_poses(measures):
    # As good as a reconstruction: the intrinsic pixels are the person's in both pictures.
    assert measures["swap_mse"]["value"] == pytest.approx(measures["mse"]["value"], rel=0.02)
    assert measures["swap_pairs"] > 0


def posed_set():
    """Two images of each of forty people; azimuth and light differ."""
    draw = torch.Generator().manual_seed(5)
    angles = torch.rand(2, 80, generator=draw) * 120 - 60
    person = torch.randn(40, 3, generator=draw).clamp(-3, 3).repeat_interleave(2, 0)
    z = torch.cat([-angles[:1].T / 40, angles[1:].T / 40, person], -1)
    pixels = torch.full((80, 16, 16), 0.5)
    pixels[:, 0, :5] = (5 + z) / 10
    factors = {"azimuth": angles[0], "light": angles[1]}
    who = torch.arange(40).repeat_interleave(2)
    return EvaluationSet((pixels * 255).round().byte(), factors, who, toy_run().factors), z


def test_a_swap_takes_the_pose_of_one_picture_and_the_person_of_the_other():
    run, (images, z) = toy_run(), posed_set()
    whole = evaluate(run, images, calibrate(run, toy_set()))["swap_mse"]["value"]
    # Pose and person fit, so what is left is the rounding of pixels to 8 bits.
    assert whole < 1e-5
    # A person who is another in the second picture is wrong there by what the first one lacks.
    other = images.pixels.clone()
    other[1::2, 0, 4] = 255 - other[1::2, 0, 4]
    strange = EvaluationSet(other, images.factors, images.identity, images.ranges)
    found = evaluate(run, strange, calibrate(run, toy_set()))["swap_mse"]["value"]
    shift = (2 * z[::2, 4] / 10).square().mean() / 256
    assert found == pytest.approx(whole + float(shift), rel=0.02)


def test_a_swap_needs_nobody_to_know_the_pose():
    run, (images, _) = toy_run(), posed_set()
    nameless = EvaluationSet(images.pixels, {}, images.identity, {})
    found = evaluate(run, nameless, calibrate(run, toy_set()))
    assert found["swap_pairs"] == 80
    assert found["swap_mse"]["value"] < 1e-5
    assert found["swap_mse"]["low"] <= found["swap_mse"]["value"] <= found["swap_mse"]["high"]
    single = EvaluationSet(images.pixels, {}, torch.arange(80), {})
    found = evaluate(run, single, calibrate(run, toy_set()))
    assert (found["swap_mse"], found["swap_pairs"]) == (None, 0)


def test_the_table_has_the_swap(measures):
    assert f"swapped poses (mse, 1e-4)          {measures['swap_mse']['value'] * 1e4:.1f} [" in (
        table(measures)
    )


def test_every_interval_holds_its_value_and_json_holds_it_all(measures):
    text = json.dumps(measures, allow_nan=False)
    assert set(json.loads(text)) >= {
        "mse",
        "swap_mse",
        "active_units",
        "elbo",
        "factors",
        "mig",
        "dci",
        "sap",
    }
    assert tuple(measures["factors"]) == ("azimuth", "light")
    for values in measures["factors"].values():
        assert tuple(values) == FACTOR_MEASURES
        for found in values.values():
            if isinstance(found, dict):
                assert found["low"] <= found["value"] + 1e-9
                assert found["value"] <= found["high"] + 1e-9


def test_a_leaking_code_is_told():
    run, images = toy_run(), toy_set(seed=1)
    copy = images.pixels.clone()
    copy[:, 0, 4] = copy[:, 0, 0]  # an intrinsic latent repeats the azimuth
    leaking = EvaluationSet(copy, images.factors, images.identity, images.ranges)
    factors = evaluate(run, leaking, calibrate(run, toy_set()))["factors"]
    assert factors["azimuth"]["leakage"]["value"] > 0.99
    assert factors["light"]["leakage"]["value"] < 0.1


def test_a_full_circle_has_a_probe_and_no_rank_correlation():
    run = toy_run(ranges=FULL_CIRCLE)
    images = toy_set(ranges=FULL_CIRCLE)
    factors = evaluate(run, images, calibrate(run, images))["factors"]
    assert factors["azimuth"]["spearman"] is None
    assert factors["azimuth"]["circular_r2"]["value"] > 0.98
    assert factors["azimuth"]["latents"] == [0, 1]
    assert factors["light"]["circular_r2"] is None


def test_evaluation_trains_nothing_and_leaves_the_random_state():
    run, images = toy_run(), toy_set()
    run.modules.train()
    run.guide.eval()
    before = {name: t.clone() for name, t in run.modules.state_dict().items()}
    calibration = calibrate(run, images)
    torch.manual_seed(3)
    np.random.seed(3)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = evaluate(run, images, calibration)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert all(torch.equal(before[name], t) for name, t in run.modules.state_dict().items())
    assert all(parameter.grad is None for parameter in run.modules.parameters())
    assert run.model.training
    assert not run.guide.training
    assert evaluate(run, images, calibration) == first


def test_without_pairs_the_rest_is_still_measured():
    run, images = toy_run(), toy_set()
    alone = EvaluationSet(images.pixels, images.factors, torch.arange(len(images)), images.ranges)
    values = evaluate(run, alone, calibrate(run, images))["factors"]["light"]
    assert values["rerender_ratio"] is None
    assert values["pairs"] == 0
    assert values["spearman"]["value"] > 0.999


def test_a_factor_without_labels_is_null():
    run, images = toy_run(), toy_set()
    half = EvaluationSet(
        images.pixels, {"light": images.factors["light"]}, images.identity, images.ranges
    )
    found = evaluate(run, half, calibrate(run, images))
    assert set(found["factors"]["azimuth"].values()) == {None}
    assert "azimuth" in table(found)


def test_the_table_names_every_factor(measures):
    text = table(measures)
    assert "azimuth" in text
    assert "light" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_table_says_that_a_code_without_active_latents_is_dead(measures):
    assert DEAD not in table(measures)
    assert DEAD in table(measures | {"active_units": 0})


@pytest.mark.parametrize("count", [1, 2, 16, 45])
def test_a_handful_of_images_is_measured_as_far_as_it_goes(count):
    run, images = toy_run(), toy_set()
    factors = {name: values[:count] for name, values in images.factors.items()}
    few = EvaluationSet(images.pixels[:count], factors, images.identity[:count], images.ranges)
    found = evaluate(run, few, calibrate(run, images))
    assert json.loads(json.dumps(found, allow_nan=False))["images"] == count
    assert table(found)


def test_a_diverged_run_is_told():
    run, images = toy_run(), toy_set()
    calibration = calibrate(run, images)
    run.guide.weight.data.fill_(math.nan)
    with pytest.raises(InputError, match="diverged"):
        evaluate(run, images, calibration)


def test_weighted_spearman_is_spearman_of_the_repeated_images():
    from scipy.stats import spearmanr

    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 6, 30).astype(float), draw.standard_normal(30)
    b += 0.3 * a
    weights = draw.integers(0, 4, (5, 30)).astype(float)
    for row, found in zip(weights, intervals.spearman(weights, a, b), strict=True):
        times = row.astype(int)
        assert found == pytest.approx(spearmanr(a.repeat(times), b.repeat(times)).statistic)


def test_resampled_identities_come_and_go_together():
    weights = intervals.resamples(np.array([5, 5, 9, 9, 9, 2]), count=50)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 5]].sum(1) == 3).all()


def test_the_bootstrap_covers_the_mean_of_identities():
    # 200 sets of 40 identities: a nominal 95 % interval covers at least 85 % of the time; a
    # correct one, with true coverage near .94, fails this with probability below 1e-5.
    draw = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        identity = np.repeat(np.arange(40), 3)
        values = np.repeat(draw.standard_normal(40), 3)
        weights = intervals.resamples(identity, seed=seed, count=200)
        found = intervals.interval(intervals.mean(weights, values))
        hits += found["low"] <= 0 <= found["high"]
    assert hits >= 170
