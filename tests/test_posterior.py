"""A run as ArviZ data: groups, names, and densities that are the model's."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_run import CODE, NOISE, linear_images, linear_run
from pyro.infer.importance import psis_diagnostic

from pyro_dcign.datasets.labelled import EvaluationSet
from pyro_dcign.errors import InputError
from pyro_dcign.images import intensities
from pyro_dcign.posterior import arviz_bridge
from pyro_dcign.posterior.arviz_bridge import good_k, pareto_k, variable
from pyro_dcign.posterior.data import posterior_data
from pyro_dcign.posterior.weights import bounds, importance


def linear_set(count=6):
    pixels, z = linear_images(count)
    truth = {"azimuth": 40 * z[:, 0], "light": 40 * z[:, 1]}
    return EvaluationSet(pixels, truth, torch.arange(count), {})


def log_evidence(pixels):
    """log p(x) of the linear model: x is normal with covariance W Wᵀ + noise²."""
    w = linear_run().model.decoder.weight.detach().double()
    x = pixels.flatten(1).double() / 255 - 0.5
    covariance = w @ w.T + NOISE**2 * torch.eye(len(w), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(
        torch.zeros(len(w)).double(), covariance
    ).log_prob(x)


def test_weights_of_the_exact_posterior_are_the_evidence() -> None:
    pixels, _ = linear_images(5)
    weights = importance(linear_run(), pixels, draws=50).log_weights
    wanted = log_evidence(pixels).numpy()
    assert abs(weights - wanted).max() < 2e-3  # float32 sums over 256 pixels
    elbo, bound = bounds(weights)
    assert abs(bound - wanted).max() < 2e-3
    assert abs(elbo - wanted).max() < 2e-3


def test_bound_lies_between_elbo_and_evidence() -> None:
    pixels, _ = linear_images(20)
    elbo, bound = bounds(importance(linear_run(wider=1.5), pixels, draws=400).log_weights)
    assert (elbo < bound).all()
    assert (elbo - log_evidence(pixels).numpy()).mean() < -0.3
    assert (bound - log_evidence(pixels).numpy()).mean() == pytest.approx(0, abs=0.05)


def test_the_pictures_held_at_once_decide_nothing(monkeypatch) -> None:
    pixels, _ = linear_images(10)
    whole = importance(linear_run(wider=1.5), pixels, draws=40)
    monkeypatch.setattr("pyro_dcign.posterior.weights.batch_size", lambda run: 24)
    small = importance(linear_run(wider=1.5), pixels, draws=40)
    assert torch.equal(whole.codes, small.codes)
    assert whole.log_weights.shape == (40, 10)
    assert abs(whole.log_weights - small.log_weights).max() < 4e-3  # float32 sums over 256 pixels


def test_a_guide_is_asked_once_for_all_draws_of_its_images(monkeypatch) -> None:
    run, asked = linear_run(), []
    monkeypatch.setattr("pyro_dcign.posterior.weights.batch_size", lambda run: 8)
    run.guide.register_forward_hook(lambda *given: asked.append(1))
    importance(run, linear_images(16)[0], draws=100)
    assert len(asked) == 2  # eight images at once: one that climbs their ELBO climbs it once


def test_pyros_own_diagnostic_sums_over_a_batch_and_this_one_does_not() -> None:
    run, (pixels, _) = linear_run(wider=0.9), linear_images(20)
    torch.manual_seed(0)
    with pyro.validation_enabled(False), torch.no_grad():
        summed = psis_diagnostic(run.model, run.guide, intensities(pixels), num_particles=1000)
    each = pareto_k(importance(run, pixels, draws=1000).log_weights)
    assert summed > good_k(1000)
    assert each.shape == (20,)
    assert (each < good_k(1000)).all()


def test_the_extrinsic_block_is_weighed_given_the_intrinsic_mean() -> None:
    pixels, _ = linear_images(4)
    run = linear_run()
    drawn = importance(run, pixels, draws=30, extrinsic=True)
    intrinsic = drawn.codes[..., 2:]
    assert torch.equal(intrinsic, intrinsic[:1].expand_as(intrinsic))
    z = drawn.codes[..., :2]
    prior = dist.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(drawn.prior, prior)


def test_reading_a_run_leaves_the_generators_and_the_networks_alone() -> None:
    run = linear_run()
    state, before = torch.get_rng_state(), [p.clone() for p in run.modules.parameters()]
    store = set(pyro.get_param_store().keys())
    first = posterior_data(run, linear_set(), draws=20)
    second = posterior_data(run, linear_set(), draws=20)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(pyro.get_param_store().keys()) == store
    for a, b in zip(before, run.modules.parameters(), strict=True):
        assert torch.equal(a, b)
        assert b.grad is None
    for name in ("azimuth", "intrinsic"):
        a, b = (variable(data, "posterior", name) for data in (first, second))
        assert a.equals(b)


def test_data_have_every_group_and_factors_by_name(tmp_path) -> None:
    data = posterior_data(linear_run(), linear_set(), draws=20, replicates=3)
    path = arviz_bridge.save(data, tmp_path / "posterior.nc")
    for found in (data, arviz_bridge.load(path)):
        assert set(arviz_bridge.groups(found)) == {
            "posterior", "prior", "posterior_predictive", "log_likelihood", "sample_stats",
            "observed_data", "constant_data",
        }  # fmt: skip
        azimuth = variable(found, "posterior", "azimuth")
        assert azimuth.dims == ("chain", "draw", "image")
        assert azimuth.shape == (1, 20, 6)
        intrinsic = variable(found, "posterior", "intrinsic")
        assert intrinsic.dims == ("chain", "draw", "image", "intrinsic_latent")
        assert list(intrinsic.coords["intrinsic_latent"].values) == ["intrinsic[0]", "intrinsic[1]"]
        assert variable(found, "prior", "intrinsic").shape == (1, 20, CODE.sizes["intrinsic"])
        assert variable(found, "posterior_predictive", "picture").shape == (1, 3, 6, 16, 16)
        assert variable(found, "observed_data", "picture").dims == ("image", "row", "column")
        assert variable(found, "constant_data", "true_light").dims == ("image",)
        stats = {n: variable(found, "sample_stats", n).values for n in STATS}
        likelihood = variable(found, "log_likelihood", "of_image").values
        weights = likelihood + stats["log_prior"] - stats["log_guide"]
        assert abs(weights - stats["log_weight"]).max() < 1e-3


STATS = ("log_weight", "log_prior", "log_guide")


def test_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="1 or more images, got none"):
        posterior_data(linear_run(), linear_set(0))
