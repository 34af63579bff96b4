"""Every trap between ArviZ 0.23 and 1.x, on whichever is installed; needs no torch.

On the other line: ``python -m pytest --noconftest -o addopts= tests/test_arviz_bridge.py``.
"""

import json
import re
from pathlib import Path

import arviz as az
import numpy as np
import pytest
from scipy.stats import norm

from pyro_dcign.posterior import arviz_bridge as bridge

DRAWS = 4000


def normal_log(z, sd):
    return -0.5 * (z / sd) ** 2 - np.log(sd)


def weights_of_a_proposal(sd, seed=0, shape=(DRAWS,)):
    z = np.random.default_rng(seed).normal(size=shape) * sd
    return normal_log(z, 1.0) - normal_log(z, sd)


def test_narrow_proposal_has_a_heavy_tail_and_a_wide_one_has_none() -> None:
    # sd 1/2 against 1: weights have no variance, k = 3/4 in the limit; wider: bounded
    assert 0.5 < bridge.pareto_k(weights_of_a_proposal(0.5)) < 0.95
    assert bridge.pareto_k(weights_of_a_proposal(2.0)) < 0.2


def test_sign_is_that_of_weights_and_not_of_likelihoods() -> None:
    narrow = weights_of_a_proposal(0.5)
    assert bridge.pareto_k(narrow) > 0.5
    assert bridge.pareto_k(-narrow) < 0


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-7])
def test_near_constant_weights_are_flat(size) -> None:
    noise = np.random.default_rng(0).normal(size=(200, 3)) * size
    assert (bridge.pareto_k(5000 + noise) == bridge.FLAT).all()


def test_float32_noise_about_a_constant_is_harmless() -> None:
    noise = np.random.default_rng(0).normal(size=(1000, 20)) * 1e-3
    assert (bridge.pareto_k((5000 + noise).astype(np.float32)) < 0.5).all()


def test_weights_that_are_not_finite_have_no_good_k() -> None:
    broken = weights_of_a_proposal(1.5, shape=(200, 2))
    broken[0, 0], broken[1, 1] = np.nan, np.inf
    assert (bridge.pareto_k(broken) == np.inf).all()


def test_images_are_judged_one_by_one() -> None:
    both = np.stack([weights_of_a_proposal(0.5), weights_of_a_proposal(2.0)], 1)
    each = [float(bridge.pareto_k(column)) for column in both.T]
    assert bridge.pareto_k(both).tolist() == pytest.approx(each)
    assert bridge.pareto_k(both.reshape(DRAWS, 2, 1)).shape == (2, 1)


def test_weights_are_left_as_they_were() -> None:
    weights = weights_of_a_proposal(0.5)
    before = weights.copy()
    bridge.pareto_k(weights)
    assert (weights == before).all()


def test_left_out_observations_lie_where_the_others_put_them() -> None:
    draw = np.random.default_rng(0)
    y = np.array([2.0, 0.5, -0.5, 1.0])
    mu = y.sum() / 5 + draw.normal(size=(DRAWS, 1)) / 5**0.5  # y ~ N(mu, 1), mu ~ N(0, 1)
    replicated = mu + draw.normal(size=(DRAWS, 4))
    found = bridge.loo_pit(y, replicated, -0.5 * (y - mu) ** 2)
    wanted = norm.cdf((y - (y.sum() - y) / 4) / (1 + 1 / 4) ** 0.5)
    # 5 standard errors of a share, and half as many effective draws; seeing y moves 2.0 by 0.06
    assert (abs(found - wanted) < 5 * 0.5 / (DRAWS / 2) ** 0.5).all()
    assert abs(found[0] - wanted[0]) < 0.02


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-7])
def test_what_every_draw_says_alike_is_left_out_without_a_weight(size) -> None:
    draw = np.random.default_rng(0)
    replicated, scored = draw.random((200, 2)), 1 + size * draw.normal(size=(200, 2))
    found = bridge.loo_pit(np.array([0.25, 0.5]), replicated, scored)
    assert found == pytest.approx((replicated <= [0.25, 0.5]).mean(0), abs=1e-4)


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="100 or more draws, got 99"):
        bridge.pareto_k(np.zeros((99, 2)))


def test_chains_that_agree_and_chains_that_do_not() -> None:
    draws = np.random.default_rng(0).normal(size=(4, 500))
    assert bridge.rhat(draws) < 1.01
    assert bridge.rhat(draws + np.arange(4)[:, None]) > 1.5
    assert 1200 < bridge.ess(draws) < 3200
    assert bridge.mcse(draws) == pytest.approx(2000**-0.5, rel=0.3)
    assert bridge.mcse(draws, "sd") == pytest.approx(4000**-0.5, rel=0.4)


def test_interval_has_the_probability_that_is_asked_for() -> None:
    draws = np.random.default_rng(0).normal(size=20_000)
    for prob in (0.5, 0.89, 0.94):
        low, high = bridge.hdi(draws, prob)
        assert ((low <= draws) & (draws <= high)).mean() == pytest.approx(prob, abs=0.01)


def small_tree():
    groups = {
        "posterior": {"azimuth": np.arange(12.0).reshape(1, 4, 3)},
        "prior": {"azimuth_prior": np.zeros((1, 5))},
        "log_likelihood": {"of_image": -np.ones((1, 4, 3))},
        "sample_stats": {"log_weight": np.ones((1, 4, 3))},
        "observed_data": {"pixels": np.zeros((3, 2, 2), np.uint8)},
        "constant_data": {"true_azimuth": np.array([1.0, 2.0, 3.0])},
    }
    dims = {name: ["image"] for name in ("azimuth", "of_image", "log_weight", "true_azimuth")}
    dims["pixels"] = ["image", "row", "column"]
    coords = {"image": [7, 8, 9]}
    return groups, bridge.tree(groups, coords=coords, dims=dims, attributes={"run": "toy"})


def test_tree_has_the_groups_it_is_given_and_no_junk() -> None:
    groups, made = small_tree()
    assert set(bridge.groups(made)) == set(groups)
    found = bridge.variable(made, "posterior", "azimuth")
    assert found.dims == ("chain", "draw", "image")
    assert found.coords["image"].values.tolist() == [7, 8, 9]
    assert bridge.variable(made, "constant_data", "true_azimuth").dims == ("image",)


def test_saved_tree_comes_back(tmp_path) -> None:
    groups, made = small_tree()
    path = bridge.save(made, tmp_path / "folder" / "posterior.nc")
    back = bridge.load(path)
    assert set(bridge.groups(back)) == set(groups)
    for group, variables in groups.items():
        for name, values in variables.items():
            np.testing.assert_array_equal(bridge.variable(back, group, name).values, values)
    assert [p.name for p in path.parent.iterdir()] == ["posterior.nc"]
    assert json.loads(json.dumps(back.attrs["run"])) == "toy"


def test_version_is_one_of_the_two_lines() -> None:
    assert (az.__version__ < "1") == bridge.OLD


def test_nothing_but_the_bridge_asks_arviz() -> None:
    # Most of what 0.23 offers is gone in 1.x: psislw, plot_ppc, waic, from_pyro, InferenceData ...
    root = Path(bridge.__file__).parents[2]
    folders = [root / name for name in ("pyro_dcign", "guides", "analyses")]
    asking = {
        p.name
        for folder in folders
        for p in folder.rglob("*.py")
        if re.search(r"^\s*(import|from) (arviz|xarray)", p.read_text("utf-8"), re.M)
    }
    # A notebook shows what a user asks ArviZ, in words that both of its lines know.
    assert asking == {"arviz_bridge.py", "ten_lines.py"}
