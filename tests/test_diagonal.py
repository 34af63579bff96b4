"""Laws of a diagonal normal whose sites are drawn, clamped and scored at once."""

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pyro_dcign.code import GraphicsCode
from pyro_dcign.model.clamp import Clamp
from pyro_dcign.model.diagonal import Share, Standard, sample_diagonal
from pyro_dcign.model.elbo import load_elbo
from pyro_dcign.model.exchange import Exchange
from pyro_dcign.model.fused import Fused

CODE = GraphicsCode({"azimuth": 1, "light": 2}, intrinsic=3)
ACTIVE = torch.stack([CODE.active("light"), CODE.active("intrinsic")])
HANDLERS = {
    "mean": partial(Clamp, CODE, ACTIVE),
    "first": partial(Clamp, CODE, ACTIVE, to="first", strength=3.0),
    "exchange": partial(Exchange, CODE, ACTIVE),
    "none": lambda: lambda guide: guide,
}


def parameters() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    loc, scale = torch.randn(2, 8, CODE.latents, generator=g, dtype=torch.float64)
    return loc.requires_grad_(), (scale.exp() / 2).detach().requires_grad_()


def whole(loc: torch.Tensor, scale: torch.Tensor) -> None:
    sample_diagonal(CODE, loc, scale)


def site_by_site(loc: torch.Tensor, scale: torch.Tensor) -> None:
    with pyro.plate("images", len(loc), dim=-1):
        for name, where in CODE.slices().items():
            pyro.sample(name, dist.Normal(loc[:, where], scale[:, where]).to_event(1))


def model(loc: torch.Tensor, scale: torch.Tensor) -> None:
    with pyro.plate("images", len(loc), dim=-1):
        z = []
        for name, size in CODE.sizes.items():
            zeros = loc.new_zeros(len(loc), size)
            prior = Standard(dist.Normal(zeros, zeros + 1, validate_args=False), 1)
            z.append(pyro.sample(name, prior))
        seen = dist.Normal(torch.cat(z, -1).sin().sum(-1), 0.3)
        pyro.sample("image", seen, obs=loc.new_zeros(len(loc)))


def losses(guide, handler: str, *, beta: float = 1.0, elbo: str = "Trace_ELBO"):
    loc, scale = parameters()
    held = HANDLERS[handler]()(guide)
    torch.manual_seed(1)
    if guide is whole:
        held = Fused()(held)
    held, scored = (poutine.scale(program, beta) for program in (held, model))
    with pyro.validation_enabled(False):
        found = load_elbo(elbo).loss_and_grads(scored, held, loc, scale)
    return [*found, loc.grad, scale.grad]


@pytest.mark.parametrize("beta", [1.0, 0.5], ids=["plain", "scaled"])
@pytest.mark.parametrize("elbo", ["Trace_ELBO", "TraceMeanField_ELBO"])
@pytest.mark.parametrize("handler", HANDLERS)
def test_at_once_is_site_by_site(handler: str, elbo: str, beta: float) -> None:
    found = losses(whole, handler, elbo=elbo, beta=beta)
    wanted = losses(site_by_site, handler, elbo=elbo, beta=beta)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_to_other_handlers_its_sites_are_ordinary_normals() -> None:
    loc, scale = parameters()
    traces = []
    for guide in (whole, site_by_site):
        torch.manual_seed(2)
        traces.append(poutine.trace(guide).get_trace(loc, scale))
    for name in CODE.factors:
        a, b = (trace.nodes[name] for trace in traces)
        assert isinstance(a["fn"], Share)
        assert torch.equal(a["value"], b["value"])
        assert torch.equal(a["fn"].log_prob(a["value"]), b["fn"].log_prob(b["value"]))
        wide = a["fn"].expand((3, 8))
        assert (wide.batch_shape, wide.event_shape) == ((3, 8), (CODE.sizes[name],))


def test_a_second_draw_of_a_site_is_its_own() -> None:
    loc, scale = parameters()
    node = poutine.trace(Fused()(whole)).get_trace(loc, scale).nodes["light"]
    again = node["fn"].rsample()
    assert again.shape == node["value"].shape
    assert (again != node["value"]).all()


@pytest.mark.parametrize("handler", HANDLERS)
def test_all_sites_have_one_draw(handler: str) -> None:
    guide = Fused()(HANDLERS[handler]()(whole))
    nodes = poutine.trace(guide).get_trace(*parameters()).nodes
    assert len({id(nodes[name]["fn"].drawn) for name in CODE.factors}) == 1
    assert len({id(nodes[name]["fn"].whole.loc) for name in CODE.factors}) == 1


def test_a_code_that_was_split_is_joined_without_a_copy() -> None:
    z = torch.randn(4, CODE.latents)
    parts = CODE.split(z)
    assert CODE.join(parts) is z
    other = {**parts, "light": parts["light"].clone()}
    assert torch.equal(CODE.join(other), z)
    assert CODE.join(other) is not z
    swapped = {**parts, "azimuth": z[:, 1:2]}
    assert torch.equal(CODE.join(swapped)[:, 0], z[:, 1])


def test_the_active_latents_are_those_of_the_active_factors() -> None:
    wanted = [[False, True, True, False, False, False], [False] * 3 + [True] * 3]
    assert CODE.active_latents(ACTIVE).tolist() == wanted
