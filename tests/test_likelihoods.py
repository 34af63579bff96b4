"""Likelihoods whose noise is learned find the noise that is there."""

import dataclasses

import pytest
import torch
from test_guides import FACTORS, TINY

from pyro_dcign.model.likelihoods import STEP, load_likelihood, precision
from pyro_dcign.runs import build

LEARNED = ["normal_learned", "normal_map", "student_t"]


def draws(count=64, seed=0):
    """Flat ground on the left, stripes on the right, and noise of .02 and .1 there."""
    g = torch.Generator().manual_seed(seed)
    stripes = torch.where(torch.arange(16) % 4 < 2, -2.0, 2.0).expand(16, 16)
    logits = torch.where(torch.arange(16) < 8, -4.0, stripes).expand(count, 1, 16, 16)
    scale = torch.where(torch.arange(16) < 8, 0.02, 0.1).expand_as(logits)
    return logits, logits.sigmoid() + scale * torch.randn(logits.shape, generator=g), scale


def fitted(name, logits, images, steps=300):
    torch.manual_seed(0)
    likelihood = load_likelihood(name, 0.05)
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.03)
    for _ in range(steps):
        loss = -likelihood(logits).log_prob(images).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return likelihood


@pytest.mark.parametrize("name", LEARNED)
def test_learned_noise_starts_at_the_pixel_scale(name) -> None:
    logits = draws(2)[0]
    pixels = load_likelihood(name, 0.05)(logits)
    torch.testing.assert_close(pixels.scale, torch.full_like(logits, 0.05))
    torch.testing.assert_close(pixels.mean, logits.sigmoid())


def test_a_planted_noise_is_recovered() -> None:
    logits, _, _ = draws()
    noise = 0.08 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    found = fitted("normal_learned", logits, logits.sigmoid() + noise)(logits).scale
    # 4 standard errors of a standard deviation from 16,384 pixels
    torch.testing.assert_close(found, torch.full_like(found, 0.08), rtol=4 / 2**7.5, atol=0)


def test_a_map_tells_ground_from_texture() -> None:
    logits, images, scale = draws()
    found = fitted("normal_map", logits, images)(logits).scale.detach()
    inside = [slice(0, 6), slice(10, 14)]  # away from the border between the two
    for columns in inside:
        ratio = found[..., 2:-2, columns].mean() / scale[..., columns].mean()
        assert 0.9 < float(ratio) < 1.1


def test_heavy_tails_are_told_from_light_ones() -> None:
    logits, images, _ = draws()
    g = torch.Generator().manual_seed(2)
    heavy = torch.distributions.StudentT(torch.tensor(3.0))
    torch.manual_seed(2)
    tails = logits.sigmoid() + 0.03 * heavy.sample(logits.shape)
    light = logits.sigmoid() + 0.03 * torch.randn(logits.shape, generator=g)
    freedom = [
        fitted("student_t", logits, x)(logits).df.mean().item() for x in (tails, light, images)
    ]
    assert freedom[0] < 4
    assert freedom[1] > 10


@pytest.mark.parametrize("name", LEARNED)
def test_gradients_are_those_of_differences(name) -> None:
    likelihood = load_likelihood(name, 0.05).double()
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g, dtype=torch.float64))
    logits = torch.randn(2, 1, 5, 5, dtype=torch.float64, generator=g)
    image = torch.rand(2, 1, 5, 5, dtype=torch.float64, generator=g)
    names, values = zip(*likelihood.named_parameters(), strict=True)

    def density(at, *given):
        held = dict(zip(names, given, strict=True))
        return torch.func.functional_call(likelihood, held, at).log_prob(image).sum()

    leaves = [v.detach().clone().requires_grad_() for v in (logits, *values)]
    assert torch.autograd.gradcheck(density, leaves)


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_precision_is_the_mean_square_of_the_score(name) -> None:
    torch.manual_seed(0)
    pixels = load_likelihood(name, 0.05)(torch.zeros(400_000, 1, 1, 1))
    x = pixels.sample().requires_grad_()
    (score,) = torch.autograd.grad(pixels.log_prob(x).sum(), x)
    square = score.square()
    error = 5 * square.std() / len(square) ** 0.5
    assert (square.mean() - precision(pixels).mean()).abs() < error


@pytest.mark.parametrize("name", LEARNED)
def test_the_noise_is_a_parameter_of_the_run_and_never_below_a_step(name, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, likelihood=name), FACTORS)
    assert "model.likelihood.raw" in dict(run.modules.named_parameters())
    with torch.no_grad():
        run.model.likelihood.raw.fill_(-100.0)
    z = torch.randn(2, 8)
    assert (run.model.likelihood(run.model.decoder(z)).scale >= STEP).all()
