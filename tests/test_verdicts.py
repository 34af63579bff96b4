"""Verdicts on draws of known quality; needs no torch, so both lines of ArviZ can be asked.

On the other line:
``python -m pytest --noconftest -o addopts= tests/test_verdicts.py tests/test_arviz_bridge.py``.
"""

import numpy as np
import pytest
from scipy.stats import norm

from pyro_dcign.posterior.findings import Findings, page
from pyro_dcign.posterior.verdicts import judge

IMAGES, DRAWS = 24, 1000


JOINT_K, NUTS_ESS = 0.80, 750.0  # 0.23 and 1.3 smooth the tail a little differently


def synthetic(sd=1.0, shift=0.0, seed=0, stuck="", noise=1.0, dark=0.0):
    """A standard normal posterior of four latents, and a guide of that sd and shift.

    Pixels whose likelihood has so many times their noise, and is off by so much of it.
    """
    draw = np.random.default_rng(seed)
    z = shift + sd * draw.normal(size=(DRAWS, IMAGES, 4))
    weights = (-0.5 * z**2 + 0.5 * ((z - shift) / sd) ** 2 + np.log(sd)).sum(-1)
    block = (-0.5 * z**2 + 0.5 * ((z - shift) / sd) ** 2 + np.log(sd))[..., :2].sum(-1)
    truth = draw.normal(size=(400, 1))
    draws = shift + sd * draw.normal(size=(400, 99))
    ranks = ((draws < truth).sum(1) + draw.random(400)) / 100
    chains = draw.normal(size=(2, 2, 400, 1))
    chains[: 1 + (stuck == "all"), 1] += 5 * bool(stuck)
    return Findings(
        {
            "joint": weights - 100,
            "extrinsic": block,
            "refined": np.full(8, -100.0),
            "refined_error": np.full(8, 0.05),
            "sbc/azimuth": ranks[:, None],
            "nuts/azimuth": chains,
            "guide/azimuth": shift + sd * draw.normal(size=(2, 1000, 1)),
            "predictive": draw.random(50),
            "loo_pit": norm.cdf((draw.normal(size=(IMAGES, 64)) + dark) / noise),
            "means": draw.normal(size=(50, 4)) * np.array([1, 1, 1, 0.01]),
            "aggregate/azimuth": draw.normal(size=(500, 1)),
        }
    )


def flagged(findings):
    return {v.check for v in judge(findings) if v.ok is False}


@pytest.mark.parametrize(
    ("wrong", "checks"),
    [
        ({}, set()),
        ({"sd": 0.5}, {"pareto_k", "bound", "amortisation_gap", "sbc", "nuts"}),
        ({"sd": 2.0}, {"bound", "amortisation_gap", "sbc", "nuts"}),
        ({"shift": 1.0}, {"pareto_k", "bound", "amortisation_gap", "sbc", "nuts"}),
    ],
    ids=["exact", "halved", "doubled", "shifted"],
)
def test_the_same_flags_on_either_line_of_arviz(wrong, checks) -> None:
    assert flagged(synthetic(**wrong)) == checks, page(judge(synthetic(**wrong)))


def test_numbers_are_the_same_on_either_line_of_arviz() -> None:
    said = {(v.check, v.subject): v.figures for v in judge(synthetic(sd=0.5))}
    assert said["pareto_k", "joint"]["median"] == pytest.approx(JOINT_K, abs=0.02)
    assert said["nuts", "azimuth"]["rhat"] == pytest.approx(1.0, abs=0.01)
    assert said["nuts", "azimuth"]["ess"] == pytest.approx(NUTS_ESS, rel=0.05)
    assert said["nuts", "azimuth"]["sd_ratio"] == pytest.approx(0.5, abs=0.03)
    assert said["active_units", "code"]["active"] == 3


def test_the_extrinsic_latents_are_judged_beside_the_whole_code() -> None:
    # A code of hundreds of latents is hardly ever below the limit as a whole.
    said = [v.subject for v in judge(synthetic()) if v.check == "pareto_k"]
    assert said == ["joint", "extrinsic"]


def test_chains_that_do_not_agree_are_compared_with_nothing() -> None:
    said = {v.check: v for v in judge(synthetic(sd=0.5, stuck="all"))}
    assert said["nuts"].ok is None
    assert "did not settle" in said["nuts"].text


def test_an_image_on_which_nuts_did_not_settle_is_left_out_of_every_number() -> None:
    said = {v.check: v for v in judge(synthetic(sd=0.5, stuck="one"))}["nuts"]
    assert said.ok is False
    assert said.figures["rhat"] < 1.05
    assert "settled on 1 of 2 images" in said.text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"noise": 1.6}, "noise is too wide"),
        ({"noise": 0.6}, "noise is too narrow"),
        ({"dark": 0.8}, "too dark"),
        ({"dark": -0.8}, "too bright"),
    ],
)
def test_pixels_are_flagged_for_their_likelihood(wrong, words) -> None:
    said = {v.check: v for v in judge(synthetic(**wrong))}
    assert {name for name, verdict in said.items() if verdict.ok is False} == {"loo_pit"}
    assert words in said["loo_pit"].text


def test_exact_draws_are_flagged_no_oftener_than_one_time_in_a_hundred() -> None:
    alarms = sum(bool(flagged(synthetic(seed=seed))) for seed in range(150))
    # 1.5 expected; binomial(150, 0.01) exceeds 7 once in 4,000
    assert alarms <= 7


def test_a_page_counts_its_flags() -> None:
    text = page(judge(synthetic(sd=0.5)))
    assert "overconfident about azimuth: sd 0." in text
    assert text.splitlines()[-1].endswith("verdicts flagged")
