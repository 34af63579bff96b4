import math

import numpy as np
import pytest
from scipy.stats import entropy

from pyro_dcign.measures.disentanglement import (
    completeness_of,
    disentanglement,
    disentanglement_of,
    levels,
    linear_scores,
    mig,
    modularity_of,
    mutual_information,
    sap,
)

ONE_CODE_FOR_TWO = np.kron(np.eye(5), np.ones((1, 2)))
TWO_CODES_FOR_ONE = ONE_CODE_FOR_TWO.T


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        (np.eye(5), 1.0),
        (np.zeros((5, 5)), 0.0),
        (ONE_CODE_FOR_TWO, 1 - math.log(2) / math.log(10)),
    ],
)
def test_dci_disentanglement_has_its_exact_values(importance, expected):
    assert disentanglement_of(importance) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        (np.eye(5), 1.0),
        (np.zeros((5, 5)), 0.0),
        (TWO_CODES_FOR_ONE, 1 - math.log(2) / math.log(10)),
    ],
)
def test_dci_completeness_has_its_exact_values(importance, expected):
    assert completeness_of(importance) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        (np.eye(5), 1.0),
        (np.diag([1.0, 1.0, 0.0]), 2 / 3),
        (ONE_CODE_FOR_TWO, 1 - 1 / 9),
    ],
)
def test_modularity_has_its_exact_values(information, expected):
    assert modularity_of(information) == pytest.approx(expected, abs=1e-12)


def _grid(seed=0, n=2000):
    draw = np.random.default_rng(seed)
    return np.stack([draw.integers(0, size, n) for size in (8, 6, 6)], -1).astype(float)


def _mig(codes, truth):
    return mig(
        mutual_information(codes, truth),
        np.array([entropy(np.bincount(levels(f))) for f in truth.T]),
    )


def test_copies_of_the_factors_score_high_and_duplicates_low():
    truth = _grid()
    twice = np.hstack([truth, truth])
    targets = [f[:, None] for f in truth.T]
    assert _mig(truth, truth) >= 0.98
    assert _mig(twice, truth) <= 1e-12
    assert sap(linear_scores(truth, targets)) >= 0.98
    assert sap(linear_scores(twice, targets)) <= 1e-12


def test_mutual_information_of_a_copy_is_its_entropy():
    truth = np.repeat(np.arange(4.0), 25)[:, None]
    assert mutual_information(truth, truth)[0, 0] == pytest.approx(math.log(4))


def test_copies_are_disentangled_and_a_rotation_is_not():
    truth = _grid(n=1200)
    factors = dict(zip("abc", truth.T, strict=True))
    copies = disentanglement(truth, factors, {})
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    turned = disentanglement((truth - truth.mean(0)) @ turn, factors, {})
    assert copies["dci"]["disentanglement"] > 0.99
    assert copies["dci"]["completeness"] > 0.99
    assert copies["dci"]["informativeness"] > 0.99
    assert copies["modularity"] > 0.99
    for name in ("mig", "sap"):
        assert turned[name] < copies[name] - 0.1
    assert turned["modularity"] < copies["modularity"]
    assert turned["dci"]["disentanglement"] < 0.7


def test_a_periodic_factor_is_read_through_its_sine_and_cosine():
    angles = np.random.default_rng(0).uniform(0, 360, 1000)
    codes = np.stack([np.cos(np.deg2rad(angles)), np.zeros(1000)], -1)
    found = disentanglement(codes, {"azimuth": angles}, {"azimuth": 360.0})
    assert found["sap"] == pytest.approx(0.5, abs=0.05)


def test_the_result_names_bins_and_probes():
    truth = _grid(n=400)
    probes = disentanglement(truth, {"a": truth[:, 0]}, {})["probes"]
    assert probes["images"] == 400
    assert "20" in probes["mig, modularity"]
    assert probes["sklearn"]


def test_no_factors_give_no_measures():
    assert disentanglement(np.zeros((100, 2)), {"a": np.ones(100)}, {})["mig"] is None
