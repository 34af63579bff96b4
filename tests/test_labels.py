"""Laws of the labels: the charge of a known value, nothing where none is known."""

import dataclasses

import pyro
import pytest
import torch
from pyro import poutine
from tiny import TINY

from pyro_dcign.errors import InputError
from pyro_dcign.model.exchange import Exchange
from pyro_dcign.model.labels import Labels
from pyro_dcign.runs.codes import posterior_mean
from pyro_dcign.runs.run import build
from pyro_dcign.training.start import labels_of
from pyro_dcign.training.train import Trainer

SETTINGS = {"handler" if hasattr(TINY, "handler") else "clamp": "exchange"}


@pytest.fixture
def built(store, tmp_path):
    return build(tmp_path, dataclasses.replace(TINY, **SETTINGS), store.factors)


def charges(run, images, wanted, weight, inner=None):
    guide = Labels(run.code, wanted, weight)(inner(run.guide) if inner else run.guide)
    nodes = poutine.trace(guide).get_trace(images).nodes
    return sum(n["fn"].log_prob(n["value"]) for k, n in nodes.items() if k.endswith(" label"))


def test_a_charge_is_the_weighted_squared_distance_of_the_location(built) -> None:
    images = torch.rand(4, 1, TINY.side, TINY.side)
    n = sum(built.code.extrinsic.values())
    wanted = torch.randn(4, n)
    loc = posterior_mean(built.guide, images, built.code)[:, :n]
    torch.testing.assert_close(
        charges(built, images, wanted, 7.0), 7 * (loc - wanted).square().sum(1)
    )


def test_an_unknown_value_costs_nothing_and_teaches_nothing(built) -> None:
    images = torch.rand(4, 1, TINY.side, TINY.side)
    wanted = torch.full((4, sum(built.code.extrinsic.values())), torch.nan)
    charged = charges(built, images, wanted, 7.0)
    assert (charged == 0).all()
    charged.sum().backward()
    assert all((p.grad is None) or (p.grad == 0).all() for p in built.guide.parameters())


def test_what_a_donor_is_charged_for_is_its_own_reading(built) -> None:
    # In a minibatch of intrinsic changes both images share every value.
    images = torch.rand(2, 1, TINY.side, TINY.side)
    n = sum(built.code.extrinsic.values())
    wanted = torch.randn(1, n).expand(2, -1)
    active = built.code.active("intrinsic")
    own = charges(built, images, wanted, 1.0)
    given = charges(built, images, wanted, 1.0, inner=Exchange(built.code, active))
    torch.testing.assert_close(given, own.flip(0))


def test_a_site_without_a_location_is_refused_in_one_line(built) -> None:
    class Uniform(torch.nn.Module):
        def forward(self, images):
            with pyro.plate("images", len(images), dim=-1):
                for name, size in built.code.sizes.items():
                    zeros = torch.zeros(len(images), size)
                    pyro.sample(name, pyro.distributions.Uniform(zeros, zeros + 1).to_event(1))

    wanted = torch.zeros(1, sum(built.code.extrinsic.values()))
    with pytest.raises(InputError, match="--labels 0"):
        Labels(built.code, wanted, 1.0)(Uniform())(torch.rand(1, 1, TINY.side, TINY.side))


def test_training_brings_latents_to_known_values(store, tmp_path) -> None:
    errors = []
    for labels in (0.0, 1000.0):
        config = dataclasses.replace(
            TINY, **SETTINGS, labels=labels, steps=150, start="random", learning_rate=5e-3
        )
        run = build(tmp_path / str(labels), config, store.factors)
        trainer = Trainer(run, store)
        for _ in trainer.records():
            pass
        wanted = labels_of(store.values("train"), run.factors, run.code).flatten(0, 1)
        pixels = trainer.feed.pixels.flatten(0, 1)[:, None] / 255
        read = posterior_mean(run.guide, pixels, run.code)[:, : wanted.shape[1]]
        errors.append((read - wanted).square().mean().item())
    assert errors[1] < errors[0] / 2
