"""Laws of the exchange: donors, the pure function and the handler."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro import poutine
from test_clamp import CODE, TYPES, ToyGuide, gradients, latents, traced

from pyro_dcign.model.exchange import Exchange, donors, exchange
from pyro_dcign.varying import type_factors


@given(st.integers(1, 4), st.integers(2, 20), st.integers(0, 2**31))
def test_every_image_gives_to_one_other_and_never_to_itself(groups, images, seed) -> None:
    torch.manual_seed(seed)
    donor = donors(groups, images)
    assert (donor.sort(-1).values == torch.arange(images)).all()
    assert (donor != torch.arange(images)).all()


def test_every_other_image_is_as_likely_a_donor() -> None:
    torch.manual_seed(0)
    found = torch.bincount(donors(20_000, 5)[:, 0], minlength=5)
    assert found[0] == 0
    # 20,000 draws, 4 equal cells: six standard errors, a false alarm in 1e-8 runs
    assert (found[1:] - 5000).abs().max() < 6 * (20_000 * 0.25 * 0.75) ** 0.5


def test_one_image_has_no_other() -> None:
    with pytest.raises(ValueError, match="2 or more images"):
        donors(3, 1)


def test_two_by_two_by_hand() -> None:
    z = torch.tensor([[[1.0, 10.0], [3.0, 30.0]]], requires_grad=True)
    swapped = exchange(z, torch.tensor([True, False]), torch.tensor([[1, 0]]))
    assert swapped.tolist() == [[[1.0, 30.0], [3.0, 10.0]]]
    swapped.backward(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    # the gradient of a given latent goes to the image that it came from
    assert z.grad.tolist() == [[[1.0, 4.0], [3.0, 2.0]]]


def handler(varying: str) -> Exchange:
    return Exchange(CODE, CODE.active(varying))


@pytest.mark.parametrize("varying", TYPES)
def test_inactive_sites_are_permuted_together_and_active_ones_stay(varying) -> None:
    guide = ToyGuide(6)
    trace = traced(handler(varying)(guide))
    orders = set()
    for name, where in CODE.slices().items():
        fn = trace.nodes[name]["fn"].base_dist
        rows = [(guide.loc[:, where] == loc).all(1).nonzero().item() for loc in fn.loc]
        assert torch.equal(fn.scale, guide.scale[rows][:, where])
        if name in type_factors(varying, CODE.extrinsic):
            assert rows == list(range(6))
        else:
            orders.add(tuple(rows))
    assert len(orders) == 1
    assert all(i != j for i, j in enumerate(orders.pop()))


@pytest.mark.parametrize("varying", TYPES)
def test_groups_exchange_among_themselves_only(varying) -> None:
    guide = ToyGuide(6)
    active = torch.stack([CODE.active(varying), CODE.active("intrinsic")])
    trace = traced(Exchange(CODE, active)(guide))
    for name, where in CODE.slices().items():
        fn = trace.nodes[name]["fn"].base_dist
        for i, loc in enumerate(fn.loc):
            origin = (guide.loc[:, where] == loc).all(1).nonzero().item()
            assert origin // 3 == i // 3


@pytest.mark.parametrize("varying", TYPES)
def test_exchange_commutes_with_replay(varying) -> None:
    guide = ToyGuide(4)
    past = traced(guide, seed=9)
    inside = traced(poutine.replay(handler(varying)(guide), trace=past))
    outside = traced(handler(varying)(poutine.replay(guide, trace=past)))
    torch.testing.assert_close(inside.log_prob_sum(), outside.log_prob_sum())
    torch.testing.assert_close(latents(inside), latents(outside))


@pytest.mark.parametrize("varying", TYPES)
def test_the_kl_of_a_minibatch_is_the_guides_own(varying) -> None:
    def kl(trace):
        fns = [trace.nodes[name]["fn"].base_dist for name in CODE.factors]
        prior = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
        return sum(torch.distributions.kl_divergence(fn, prior).sum() for fn in fns)

    guide = ToyGuide(5)
    torch.testing.assert_close(kl(traced(handler(varying)(guide))), kl(traced(guide)))


def test_exchange_does_nothing_when_every_factor_is_active() -> None:
    guide = ToyGuide(4)
    everything = Exchange(CODE, torch.ones(len(CODE.factors), dtype=torch.bool))(guide)
    plain = [t.clone() for t in (guide.loc, guide.scale)]
    for name, where in CODE.slices().items():
        fn = traced(everything).nodes[name]["fn"].base_dist
        assert torch.equal(fn.loc, plain[0][:, where])
        assert torch.equal(fn.scale, plain[1][:, where])


def test_gradients_are_kept_and_reach_every_latent() -> None:
    guide = ToyGuide(4)
    loc, scale = gradients(handler("light")(guide), guide)
    assert (loc != 0).all()
    assert (scale != 0).all()


def test_each_run_of_the_guide_draws_new_donors() -> None:
    guide, program = ToyGuide(9), handler("light")
    wrapped = program(guide)
    torch.manual_seed(0)
    orders = {
        tuple(
            poutine.trace(wrapped).get_trace().nodes["intrinsic"]["fn"].base_dist.loc[:, 0].tolist()
        )
        for _ in range(5)
    }
    assert len(orders) == 5


def test_a_site_without_loc_and_scale_has_its_draws_and_their_densities_exchanged(
    monkeypatch,
) -> None:
    import pyro
    import pyro.distributions as dist

    rate = torch.arange(1.0, 7.0).unsqueeze(-1)  # two minibatches of three images

    def guide() -> None:
        with pyro.plate("images", 6):
            for name in ("azimuth", "light"):
                pyro.sample(name, dist.Gamma(rate, 1.0).to_event(1))

    def drawn(program):
        torch.manual_seed(3)
        trace = poutine.trace(program).get_trace()
        trace.compute_log_prob()
        return [trace.nodes[n][k] for n in ("azimuth", "light") for k in ("value", "log_prob")]

    cycles = torch.tensor([[1, 2, 0], [2, 0, 1]])
    monkeypatch.setattr("pyro_dcign.model.exchange.donors", lambda *sizes: cycles)  # draws no noise
    own = drawn(guide)
    found = drawn(Exchange(CODE, torch.stack([CODE.active("light")] * 2))(guide))
    given = [1, 2, 0, 5, 3, 4]
    assert torch.equal(found[0], own[0][given])
    assert torch.equal(found[1], own[1][given])  # each draw keeps its density
    assert torch.equal(found[2], own[2])
    assert torch.equal(found[3], own[3])


def disagreement(guide, varying="light", weight=2.0) -> dict[str, torch.Tensor]:
    trace = traced(Exchange(CODE, CODE.active(varying), agreement=weight)(guide))
    trace.compute_log_prob()
    return {name: trace.nodes[f"{name} agreement"]["log_prob"] for name in CODE.factors}


def test_disagreement_is_the_weighted_divergence_from_the_donor() -> None:
    guide = ToyGuide(2)  # with two images each is the other's donor
    loc, scale = (t[:, CODE.slices()["intrinsic"]] for t in (guide.loc, guide.scale))
    nats = scale.flip(0).log() - scale.log() - 0.5
    nats = nats + (scale**2 + (loc - loc.flip(0)) ** 2) / (2 * scale.flip(0) ** 2)
    found = disagreement(guide)
    torch.testing.assert_close(found["intrinsic"], 2.0 * nats.sum(-1))
    assert (found["intrinsic"] > 0).all()
    assert (found["light"] == 0).all()


def test_images_that_agree_on_what_they_share_pay_nothing() -> None:
    guide = ToyGuide(4)
    others = torch.ones(CODE.latents, dtype=torch.bool)
    others[CODE.slices()["light"]] = False
    with torch.no_grad():
        for parameter in (guide.loc, guide.scale):
            parameter[:, others] = parameter[:1, others]
    assert all(abs(nats).max() < 1e-14 for nats in disagreement(guide).values())


def test_without_agreement_there_is_no_factor() -> None:
    nodes = traced(handler("light")(ToyGuide(3))).nodes
    assert not [name for name in nodes if "agreement" in name]


def test_a_divergence_without_a_closed_form_is_estimated_from_a_draw() -> None:
    import pyro
    import pyro.distributions as dist

    # A Student t of so many degrees of freedom is a normal; in pairs a unit apart, KL = 1/2.
    pairs = 10_000
    loc = torch.arange(2.0 * pairs).remainder(2).unsqueeze(-1)
    site = dist.StudentT(torch.full_like(loc, 1e6), loc, torch.ones_like(loc)).to_event(1)

    def guide() -> None:
        with pyro.plate("images", 2 * pairs):
            for name in ("azimuth", "light"):
                pyro.sample(name, site)

    active = torch.stack([CODE.active("light")] * pairs)
    trace = traced(Exchange(CODE, active, agreement=3.0)(guide))
    trace.compute_log_prob()
    found = trace.nodes["azimuth agreement"]["log_prob"] / 3
    # The estimate's standard deviation is the distance of the means, 1: six standard errors.
    assert abs(found.mean() - 0.5) < 6 / (2 * pairs) ** 0.5
    assert trace.nodes["light agreement"]["log_prob"].abs().max() < 1e-4
