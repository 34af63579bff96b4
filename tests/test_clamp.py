"""Laws of the clamp: the pure function and its handler."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro import poutine

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.model.clamp import Clamp, clamp
from pyro_dcign.varying import type_factors

CODE = GraphicsCode({"azimuth": 1, "light": 1}, intrinsic=3)
TARGETS = ["mean", "first"]
TYPES = (*CODE.factors, "pose", "light+intrinsic")


class ToyGuide(torch.nn.Module):
    """loc and scale are parameters, one row an image."""

    def __init__(self, images: int) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(images)
        self.loc = torch.nn.Parameter(
            torch.randn(images, CODE.latents, generator=g, dtype=torch.float64)
        )
        self.scale = torch.nn.Parameter(
            torch.rand(images, CODE.latents, generator=g, dtype=torch.float64) + 0.5
        )

    def forward(self) -> None:
        with pyro.plate("images", len(self.loc)):
            for name, where in CODE.slices().items():
                fn = dist.Normal(self.loc[:, where], self.scale[:, where]).to_event(1)
                pyro.sample(name, fn)
            pyro.sample("other", dist.Normal(self.loc[:, 0], 1.0))


def traced(program, seed=0):
    torch.manual_seed(seed)
    return poutine.trace(program).get_trace()


def latents(trace) -> torch.Tensor:
    return CODE.join({name: trace.nodes[name]["value"] for name in CODE.factors})


def gradients(program, guide, seed=0):
    guide.zero_grad()
    trace = traced(program, seed)
    (latents(trace).pow(2).sum() + trace.log_prob_sum()).backward()
    return guide.loc.grad.clone(), guide.scale.grad.clone()


@st.composite
def latent_batches(draw):
    groups, images, k = draw(st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(1, 5)))
    seed = draw(st.integers(0, 2**31))
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(groups, images, k, generator=g, dtype=torch.float64) * 10
    active = torch.rand(groups, 1, k, generator=g) < draw(st.floats(0, 1))
    return z, active


def test_two_by_two_by_hand() -> None:
    z = torch.tensor([[1.0, 10.0], [3.0, 30.0]], requires_grad=True)
    held = clamp(z, torch.tensor([True, False]), strength=0.5)
    assert held.tolist() == [[1.0, 20.0], [3.0, 20.0]]
    held.backward(torch.tensor([[7.0, 7.0], [8.0, 8.0]]))
    # the second column's own gradients vanish: 0.5 · (10 - 20) and 0.5 · (30 - 20)
    assert z.grad.tolist() == [[7.0, -5.0], [8.0, 5.0]]


def test_first_image_by_hand() -> None:
    z = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    assert clamp(z, torch.tensor([True, False]), to="first").tolist() == [[1.0, 10.0], [3.0, 10.0]]


@given(latent_batches(), st.sampled_from(TARGETS), st.floats(0, 100))
def test_mean_pull_sums_to_zero_over_the_minibatch(batch, to, strength) -> None:
    z, active = batch
    z.requires_grad_()
    clamp(z, torch.zeros_like(active), strength=strength, to=to).sum().backward()
    assert z.grad.sum(-2).abs().max() <= 1e-10 * (1 + strength)


@given(latent_batches(), st.sampled_from(TARGETS))
def test_clamp_is_idempotent(batch, to) -> None:
    z, active = batch
    once = clamp(z, active, to=to)
    torch.testing.assert_close(clamp(once, active, to=to), once, rtol=1e-14, atol=1e-14)


@given(latent_batches(), st.sampled_from(TARGETS))
def test_active_latents_pass_and_inactive_ones_agree(batch, to) -> None:
    z, active = batch
    held = clamp(z, active, to=to)
    expanded = active.expand_as(z)
    assert torch.equal(held[expanded], z[expanded])
    spread = (held - held[:, :1]).abs() * ~expanded
    assert spread.max() == 0


def test_one_image_has_no_mean_to_agree_on() -> None:
    with pytest.raises(ValueError, match="2 or more images"):
        clamp(torch.zeros(1, 3), torch.tensor(True))


@pytest.mark.parametrize("on", ["parameters", "draw"])
@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("varying", TYPES)
class TestHandler:
    def handler(self, varying, to, on, **options):
        return Clamp(CODE, CODE.active(varying), to=to, on=on, **options)

    def test_handler_is_idempotent(self, varying, to, on) -> None:
        guide = ToyGuide(4)
        once = self.handler(varying, to, on)(guide)
        twice = self.handler(varying, to, on)(self.handler(varying, to, on)(guide))
        torch.testing.assert_close(latents(traced(once)), latents(traced(twice)))
        for a, b in zip(gradients(once, guide), gradients(twice, guide), strict=True):
            torch.testing.assert_close(a, b)

    def test_handler_commutes_with_replay(self, varying, to, on) -> None:
        guide = ToyGuide(4)
        past = traced(guide if on == "parameters" else self.handler(varying, to, on)(guide), seed=9)
        inside = traced(poutine.replay(self.handler(varying, to, on)(guide), trace=past))
        outside = traced(self.handler(varying, to, on)(poutine.replay(guide, trace=past)))
        torch.testing.assert_close(inside.log_prob_sum(), outside.log_prob_sum())
        torch.testing.assert_close(latents(inside), latents(outside))

    def test_other_sites_pass(self, varying, to, on) -> None:
        guide = ToyGuide(4)
        trace = traced(self.handler(varying, to, on)(guide))
        assert torch.equal(trace.nodes["other"]["fn"].loc, guide.loc[:, 0])

    def test_a_trace_sees_the_clamped_draw(self, varying, to, on) -> None:
        trace = traced(self.handler(varying, to, on)(ToyGuide(4)))
        for name in CODE.factors:
            site = trace.nodes[name]
            held = (site["value"] if on == "draw" else site["fn"].base_dist.loc).detach()
            assert (held == held[0]).all() == (name not in type_factors(varying, CODE.extrinsic))

    def test_each_group_is_clamped_to_its_own_mean(self, varying, to, on) -> None:
        if on == "draw":
            pytest.skip("two programs of other sizes draw other noise")
        both, active = ToyGuide(6), torch.stack([CODE.active(varying), CODE.active("intrinsic")])
        trace = traced(Clamp(CODE, active, to=to, on=on)(both))
        for name in CODE.factors:
            halves = trace.nodes[name]["fn"].base_dist.loc.view(2, 3, -1)
            own = both.loc[:, CODE.slices()[name]].view(2, 3, -1)
            for half, mine, who in zip(halves, own, (varying, "intrinsic"), strict=True):
                active_latents = torch.tensor(name in type_factors(who, CODE.extrinsic))
                torch.testing.assert_close(half, clamp(mine, active_latents, to=to))

    def test_reconstruction_and_kl_gradients_are_both_replaced(self, varying, to, on) -> None:
        guide = ToyGuide(4)
        loc, scale = gradients(self.handler(varying, to, on, strength=0.0)(guide), guide)
        own = CODE.active_latents(CODE.active(varying))[0]
        assert loc[:, own].abs().min() > 0
        others = loc[:, ~own].clone()
        others[:, 0] -= others[:, 0] * ~own[0]  # "other" depends on column 0
        assert others.abs().max() == 0
        assert scale[:, ~own].abs().max() == 0


def test_the_pull_on_what_a_pose_holds_sums_to_zero() -> None:
    guide = ToyGuide(4)
    loc, scale = gradients(Clamp(CODE, CODE.active("pose"), strength=0.5)(guide), guide)
    held = CODE.slices()["intrinsic"]
    mean = guide.loc[:, held].mean(0)
    torch.testing.assert_close(loc[:, held], 0.5 * (guide.loc[:, held] - mean).detach())
    for gradient in (loc[:, held], scale[:, held]):
        assert gradient.abs().max() > 0
        assert gradient.sum(0).abs().max() < 1e-12


@pytest.mark.parametrize("on", ["parameters", "draw"])
def test_handler_does_nothing_when_every_factor_is_active(on) -> None:
    guide = ToyGuide(4)
    everything = torch.ones(len(CODE.factors), dtype=torch.bool)
    clamped = Clamp(CODE, everything, on=on)(guide)
    assert torch.equal(latents(traced(clamped)), latents(traced(guide)))
    for a, b in zip(gradients(clamped, guide), gradients(guide, guide), strict=True):
        assert torch.equal(a, b)


def test_a_site_without_loc_and_scale_is_refused_by_name() -> None:
    def guide() -> None:
        with pyro.plate("images", 3):
            pyro.sample("azimuth", dist.Gamma(torch.ones(3, 1), 1.0).to_event(1))

    with pytest.raises(InputError, match="'azimuth' needs a distribution with loc and scale"):
        Clamp(CODE, CODE.active("light"))(guide)()
    torch.manual_seed(0)
    draws = traced(Clamp(CODE, CODE.active("light"), on="draw")(guide)).nodes["azimuth"]["value"]
    assert (draws == draws[0]).all()


@pytest.mark.parametrize("on", ["parameters", "draw"])
def test_a_kept_kl_gradient_stands_beside_the_pull_and_leaves_the_loss_alone(on) -> None:
    def step(**options):
        guide = ToyGuide(4)
        trace = traced(Clamp(CODE, CODE.active("light"), strength=0.5, on=on, **options)(guide))
        trace.compute_log_prob()
        (latents(trace).sum() + sum(n["log_prob"].sum() for n in trace.nodes.values()
            if n["type"] == "sample" and n["is_observed"])).backward()  # fmt: skip
        return guide, trace.log_prob_sum().item()

    (replaced, loss), (kept, same) = step(), step(keep_kl=True)
    assert loss == same
    held = [i for i in range(CODE.latents) if i != CODE.slices()["light"].start]
    loc, scale = kept.loc.detach(), kept.scale.detach()
    # KL(N(m, s) | N(0, 1)) has the gradient m in m and s - 1/s in s
    torch.testing.assert_close((kept.loc.grad - replaced.loc.grad)[:, held], loc[:, held])
    torch.testing.assert_close(
        (kept.scale.grad - replaced.scale.grad)[:, held], (scale - 1 / scale)[:, held]
    )
    own = CODE.slices()["light"]
    assert torch.equal(kept.loc.grad[:, own], replaced.loc.grad[:, own])
