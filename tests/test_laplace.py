"""The normal of each image: exact where the posterior is normal, and a function of the image."""

import dataclasses

import pyro
import pytest
import torch
from linear_run import NOISE, linear_images, linear_run
from pyro import poutine
from test_guides import FACTORS, TINY, code_of, log_q, traced

from pyro_dcign.errors import InputError
from pyro_dcign.images import intensities
from pyro_dcign.model import Decoder, NormalFit, nearest_normal
from pyro_dcign.model.nearest import climb, curvature, energy
from pyro_dcign.runs import (
    Run,
    build,
    load_parameters,
    load_run,
    posterior_mean,
    save_checkpoint,
    untrained_run,
    write_run_config,
)
from pyro_dcign.training.optimizers import adam

SHORT = NormalFit(climbs=2, steps=3, rounds=2, moves=2, pairs=2)


def noise(effort: NormalFit, latents: int) -> torch.Tensor:
    return torch.randn(*effort.noise, latents, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def run(tmp_path) -> Run:
    found = build(tmp_path, dataclasses.replace(TINY, guide="laplace"), FACTORS)
    with torch.no_grad():
        g = torch.Generator().manual_seed(1)
        for parameter in found.modules.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    found.guide.effort = SHORT
    found.modules.eval()
    return found


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 1, 20, 20, generator=torch.Generator().manual_seed(2))


def test_the_normal_of_a_linear_decoder_is_its_posterior() -> None:
    run = linear_run()
    images = intensities(linear_images(6)[0])
    effort = NormalFit()
    loc, root = nearest_normal(run.model, images, torch.zeros(6, 4), noise(effort, 4), effort)
    w = run.model.decoder.weight.detach()
    covariance = torch.linalg.inv(torch.eye(4) + w.T @ w / NOISE**2)
    exact = (images.flatten(1) - 0.5) @ w @ covariance / NOISE**2
    torch.testing.assert_close(root @ root.mT, covariance.expand(6, 4, 4), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loc, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["normal", "bernoulli", "continuous_bernoulli"])
def test_curvature_is_the_fisher_information_and_one(likelihood, tmp_path) -> None:
    config = dataclasses.replace(TINY, likelihood=likelihood)
    model = build(tmp_path, config, FACTORS).model.double()
    z = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = curvature(model, z)
    for one, matrix in zip(z, found, strict=True):
        logits = model.decoder(one[None])
        jacobian = torch.autograd.functional.jacobian(lambda at: model.decoder(at[None]), one)
        j = jacobian.reshape(-1, 8)
        mean = model.likelihood(at := logits.detach().requires_grad_()).mean
        (slope,) = torch.autograd.grad(mean.sum(), at)
        # Of a logit: the natural parameter's is the mean's slope, the normal's mean's 1 / sd².
        weight = slope**2 / config.pixel_scale**2 if likelihood == "normal" else slope
        weight = weight.reshape(-1, 1)
        wanted = j.T @ (weight * j) + torch.eye(8, dtype=torch.float64)
        torch.testing.assert_close(matrix, wanted)


def test_the_gradient_of_the_energy_is_that_of_the_program(run, images) -> None:
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
    value, gradient = energy(run.model, images, z)

    def joint(at):
        given = poutine.condition(run.model, data=run.code.split(at))
        return traced(given, images).log_prob_sum()

    (wanted,) = torch.autograd.grad(-joint(at := z.clone().requires_grad_()), at)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-3)
    differ = -joint(z) + joint(0 * z)
    ours = value.sum() - energy(run.model, images, 0 * z)[0].sum()
    torch.testing.assert_close(ours, differ, rtol=1e-4, atol=1e-2)


def test_no_image_is_worse_after_the_climb(run, images) -> None:
    start = run.guide.loc(run.guide.encoder(images)).detach()
    top, _ = climb(run.model, images, start, NormalFit(climbs=3, steps=6))
    assert (energy(run.model, images, top)[0] < energy(run.model, images, start)[0]).all()
    again, _ = climb(run.model, images[:2], start[:2], NormalFit(climbs=3, steps=6))
    torch.testing.assert_close(again, top[:2], rtol=1e-3, atol=1e-3)


def test_read_its_sites_are_the_factors_of_one_normal(run, images) -> None:
    with torch.no_grad():
        trace = traced(run.guide, images)
        loc, root = run.guide.normals(images)
        whole = torch.distributions.MultivariateNormal(loc, scale_tril=root)
        torch.testing.assert_close(log_q(run, trace), whole.log_prob(code_of(run, trace)))
        torch.testing.assert_close(posterior_mean(run.guide, images, run.code), loc)
        alone, _ = run.guide._fits(images[1:2])
        torch.testing.assert_close(alone, loc[1:2], rtol=1e-3, atol=1e-3)
        with pyro.plate("draws", 7, dim=-2):
            many = traced(run.guide, images)
    assert code_of(run, many).shape == (7, 5, 8)
    assert log_q(run, many).shape == (7, 5)


def test_trained_it_is_the_mean_field(run, images, tmp_path) -> None:
    plain = build(tmp_path, TINY, FACTORS)
    plain.modules.load_state_dict(run.modules.state_dict())
    a, b = (traced(guide, images) for guide in (run.guide.train(), plain.guide))
    assert torch.equal(code_of(run, a), code_of(run, b))


def test_read_its_elbo_exceeds_that_of_the_mean_field(run, images) -> None:
    def elbo():
        with torch.no_grad(), pyro.plate("draws", 200, dim=-2):
            q = traced(run.guide, images)
            p = traced(poutine.replay(run.model, trace=q), images)
        return p.nodes["image"]["log_prob"].mean(0) + (log_q(run, p) - log_q(run, q)).mean(0)

    read = elbo()
    run.guide.train()
    assert (read > elbo()).all()


def test_normals_are_kept_until_a_parameter_changes(run, images, monkeypatch) -> None:
    fits = []
    own = run.guide._fits
    monkeypatch.setattr(run.guide, "_fits", lambda x: fits.append(len(x)) or own(x))
    first = run.guide.normals(images)
    second = run.guide.normals(images.flip(0))
    assert fits == [5]
    assert torch.equal(first[0], second[0].flip(0))
    with torch.no_grad():
        next(run.model.parameters()).mul_(1.5)
    assert not torch.equal(run.guide.normals(images)[0], first[0])
    assert fits == [5, 5]


def test_vmap_over_the_decoder_is_the_decoder() -> None:
    decoder = Decoder(6, 20, (3, 4, 1), (5, 3))
    z = torch.randn(3, 2, 6)
    torch.testing.assert_close(torch.func.vmap(decoder)(z), decoder(z))


def test_a_run_is_read_with_another_guide_of_the_same_parameters(tmp_path, images) -> None:
    run = build(tmp_path, TINY, FACTORS)
    write_run_config(run)
    save_checkpoint(run, adam(run.modules.parameters(), learning_rate=1e-3), {"step": 1}, random={})
    other = load_run(tmp_path, guide="laplace")
    assert other.config.guide == "laplace"
    assert torch.equal(other.guide.loc.weight, run.guide.loc.weight)
    assert untrained_run(tmp_path).config.guide == "mean_field"
    wrong = untrained_run(tmp_path, guide="full_rank")
    with pytest.raises(InputError, match=r"with the guide 'full_rank'.*name the guide"):
        load_parameters(wrong)
