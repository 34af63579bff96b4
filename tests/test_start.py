"""Laws of the principal start."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, trained

from pyro_dcign.images import intensities
from pyro_dcign.model.guide import known_guides
from pyro_dcign.runs.codes import posterior_mean
from pyro_dcign.runs.run import build
from pyro_dcign.training.start import principal_scores, start_at_mean, start_principal
from pyro_dcign.training.train import Trainer


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_scores_are_what_varies_most_within_minibatches_whatever_the_scenes(seed) -> None:
    g = torch.Generator().manual_seed(seed)
    wanted = torch.randn(5, 8, generator=g)
    wanted = wanted - wanted.mean(1, keepdim=True)
    direction = torch.randn(6, 7, generator=g)
    scenes = 100 * torch.randn(5, 1, 6, 7, generator=g)
    pixels = scenes + 3 * wanted[..., None, None] * direction
    torch.manual_seed(seed)
    scores = principal_scores(pixels, 1).squeeze(-1)
    assert abs(scores.std().item() - 1) < 1e-3
    matched = (scores * wanted).sum() / (scores.norm() * wanted.norm())
    assert matched.abs() > 0.999


@pytest.mark.gpu
def test_scores_take_no_second_copy_of_the_images() -> None:
    pixels = torch.rand(200, 20, 64, 64, device="cuda")
    principal_scores(pixels[:2].clone(), 1)  # workspaces of the libraries
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    principal_scores(pixels, 1)
    assert torch.cuda.max_memory_allocated() - before < pixels.nbytes / 4


def test_the_start_teaches_the_guide_its_factors_and_not_the_model(store, tmp_path) -> None:
    run = build(tmp_path, TINY, store.factors)
    trainer = Trainer(run, store)
    before = [p.detach().clone() for p in run.model.parameters()]
    start_principal(run, trainer.feed)
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
    for i, name in enumerate(run.code.extrinsic):
        block = store.load("train")[name]
        z = posterior_mean(run.guide, intensities(block.pixels.flatten(0, 1)), run.code)
        z = z[:, i].view(block.identity.shape)
        f = block.factors[..., i]
        z, f = z - z.mean(1, keepdim=True), f - f.mean(1, keepdim=True)
        assert ((z * f).sum() / (z.norm() * f.norm())).abs() > 0.8


@pytest.mark.parametrize("guide", known_guides())
def test_every_guide_can_be_started_on_its_factors(guide, store, tmp_path) -> None:
    config = dataclasses.replace(TINY, guide=guide, handler="exchange")
    run = build(tmp_path, config, store.factors)
    trainer = Trainer(run, store)
    before = run.guide.encoder.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    start_principal(run, trainer.feed, steps=2)
    after = run.guide.encoder.state_dict()
    learns = not guide.startswith("auto")  # those fit each image by itself, without the encoder
    assert learns == any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("ground", [0, 255])
def test_an_untrained_decoder_draws_the_mean_grey(ground: int, store, tmp_path) -> None:
    run = build(tmp_path, TINY, store.factors)
    trainer = Trainer(run, store)
    trainer.feed.pixels[..., 4:] = ground
    start_at_mean(run, trainer.feed)
    drawn = run.model.decode(torch.zeros(1, run.code.latents)).mean()
    mean = intensities(trainer.feed.pixels).mean()
    assert (drawn - mean).abs() < 0.05


def test_a_blank_ground_leaves_the_logits_finite(store, tmp_path) -> None:
    run = build(tmp_path, TINY, store.factors)
    trainer = Trainer(run, store)
    trainer.feed.pixels.fill_(255)
    start_at_mean(run, trainer.feed)
    assert run.model.decode(torch.zeros(1, run.code.latents)).min() < 1


def test_the_start_is_the_same_for_the_same_seed(store, tmp_path) -> None:
    config = dataclasses.replace(TINY, start="principal", steps=10)
    runs = [trained(tmp_path / name, store, config) for name in "ab"]
    for a, b in zip(*(run.modules.parameters() for run in runs), strict=True):
        assert torch.equal(a, b)
