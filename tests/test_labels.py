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
from pyro_dcign.training.train import Trainer

SETTINGS = {"handler": "exchange"}


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


def test_a_step_with_labels_adds_the_charges_own_gradient(store, tmp_path) -> None:
    config = dataclasses.replace(TINY, handler="exchange", labels=7.0, start="random")
    run = build(tmp_path, config, store.factors)
    trainer = Trainer(run, store)
    draws = trainer.feed.draw(1, config.minibatches)
    rows, active = draws.rows[0], draws.active[0]
    images, wanted = trainer.feed.images(rows), trainer.feed.wanted(rows)
    n = wanted.shape[1]
    gradients = []
    for given in (None, wanted):
        run.modules.zero_grad()
        torch.manual_seed(0)
        trainer.svi.gradients(images, active, given)
        gradients.append(run.guide.loc.bias.grad[:n].clone())
    # Each image is charged once, at its own location or at its donor's: their sum is the same.
    loc = posterior_mean(run.guide, images, run.code)[:, :n]
    expected = (2 * 7.0 * (loc - wanted)).sum(0)
    torch.testing.assert_close(gradients[1] - gradients[0], expected, rtol=1e-3, atol=1e-2)


def test_labels_lie_in_the_order_of_the_images(store, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, labels=1.0, start="random"), store.factors)
    trainer = Trainer(run, store)
    for varying, count in store.counts("train").items():
        for index in range(count):
            row = torch.tensor([trainer.feed.first[varying] + index])
            minibatch = store.minibatch("train", varying, index)
            values = torch.stack(list(minibatch.factors.values()), -1)
            own = trainer.feed.wanted(row)
            slope = torch.diff(own, dim=0) * torch.diff(values, dim=0)
            assert (slope >= 0).all()
            assert (trainer.feed.chosen(row)[0] == minibatch.pixels).all()
