"""A prior fitted to a run: the same posterior for every way of inference, and pictures as data."""

import dataclasses

import pyro
import pytest
import torch
from linear_run import NOISE, linear_images, linear_run
from pyro import poutine
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pyro_dcign.errors import InputError
from pyro_dcign.images import intensities
from pyro_dcign.model import NormalFit, Prior, nearest_normal
from pyro_dcign.runs import fit_prior, load_prior, write_prior


def some_prior(dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    root = torch.randn(4, 4, dtype=dtype, generator=g).tril(-1) / 2
    return Prior(torch.randn(4, dtype=dtype, generator=g), root + torch.diag(root.new_ones(4) * 2))


def test_energy_and_divergence_are_those_of_the_normal() -> None:
    prior = some_prior(torch.float64)
    whole = MultivariateNormal(prior.loc, scale_tril=prior.root)
    z, log_scale = torch.randn(2, 3, 4, dtype=torch.float64)
    differ = prior.energy(z) - prior.energy(0 * z)
    torch.testing.assert_close(differ, whole.log_prob(0 * z) - whole.log_prob(z))
    q = MultivariateNormal(z, scale_tril=torch.diag_embed(log_scale.exp()))
    torch.testing.assert_close(prior.divergence(z, log_scale), kl_divergence(q, whole))
    torch.testing.assert_close(prior.precision(), whole.precision_matrix)
    torch.testing.assert_close(prior.scale(), whole.stddev)


def test_without_one_the_prior_is_standard() -> None:
    prior = linear_run().model.code_prior
    z = torch.randn(3, 4)
    torch.testing.assert_close(prior.energy(z), z.square().sum(-1) / 2)
    standard = kl_divergence(Normal(z, z.exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(prior.divergence(z, z), standard)


def test_the_sites_of_the_program_have_the_density_of_the_prior() -> None:
    run = linear_run()
    run.model.prior = prior = some_prior()
    images = intensities(linear_images(5)[0])
    z = torch.randn(7, 5, 4)
    with pyro.plate("draws", 7, dim=-2):
        given = poutine.condition(run.model, data=run.code.split(z))
        trace = poutine.trace(given).get_trace(images)
    trace.compute_log_prob()
    found = sum(trace.nodes[name]["log_prob"] for name in run.code.factors)
    whole = MultivariateNormal(prior.loc, scale_tril=prior.root)
    torch.testing.assert_close(found, whole.log_prob(z))


def test_the_fitted_normal_of_an_image_is_the_posterior_under_the_prior() -> None:
    run = linear_run()
    run.model.prior = prior = some_prior()
    images = intensities(linear_images(6)[0])
    fit = NormalFit()
    noise = torch.randn(*fit.noise, 4, generator=torch.Generator().manual_seed(0))
    loc, root = nearest_normal(run.model, images, torch.zeros(6, 4), noise, fit)
    w = run.model.decoder.weight.detach()
    covariance = torch.linalg.inv(prior.precision() + w.T @ w / NOISE**2)
    pull = (images.flatten(1) - 0.5) @ w / NOISE**2 + prior.precision() @ prior.loc
    torch.testing.assert_close(root @ root.mT, covariance.expand(6, 4, 4), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(loc, pull @ covariance, rtol=1e-3, atol=1e-3)


def test_the_prior_of_codes_has_their_moments() -> None:
    run, (pixels, _) = linear_run(), linear_images(4000)
    found = fit_prior(run, pixels)
    assert run.model.prior is None
    # The exact guide's draws are distributed as the codes, N(0, 1): 5 standard errors.
    torch.testing.assert_close(found.loc, torch.zeros(4), rtol=0, atol=5 / 4000**0.5)
    covariance = found.root @ found.root.T
    torch.testing.assert_close(covariance, torch.eye(4), rtol=0, atol=5 * (2 / 4000) ** 0.5)
    drawn = found.sample(20_000)
    torch.testing.assert_close(drawn.T.cov(), covariance, rtol=0, atol=5 * (2 / 20_000) ** 0.5)


def test_a_prior_is_kept_with_the_run(tmp_path) -> None:
    run, again = linear_run(tmp_path), linear_run(tmp_path)
    load_prior(again)
    assert again.model.prior is None
    write_prior(run, some_prior())
    load_prior(again)
    assert torch.equal(again.model.prior.root, some_prior().root)
    assert again.modules.state_dict().keys() == run.modules.state_dict().keys()
    bad = dataclasses.replace(some_prior(), root=-some_prior().root)
    write_prior(run, bad)
    with pytest.raises(InputError, match="is to hold a normal over 4 latents; remove the file"):
        load_prior(again)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(InputError, match="needs 2 or more images, got 1"):
        fit_prior(linear_run(), linear_images(1)[0])
