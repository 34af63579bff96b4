"""Laws of every registered guide, alone and under the handlers."""

import dataclasses
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pyro
import pytest
import torch
from linear_run import CODE, linear_images, linear_run
from pyro import poutine
from pyro.infer.autoguide import (
    AutoDelta,
    AutoIAFNormal,
    AutoLaplaceApproximation,
)

import pyro_dcign.model.guide as guide_module
from pyro_dcign.code import FactorRange
from pyro_dcign.config import Config
from pyro_dcign.errors import InputError
from pyro_dcign.guides.adaptive import pair
from pyro_dcign.guides.auto import CORRELATED, INDEPENDENT, Auto
from pyro_dcign.guides.product_of_experts import product
from pyro_dcign.images import intensities
from pyro_dcign.model.clamp import Clamp
from pyro_dcign.model.elbo import load_elbo
from pyro_dcign.model.exchange import Exchange
from pyro_dcign.model.guide import known_guides, load_guide
from pyro_dcign.model.handlers import InGroups, handler_of
from pyro_dcign.model.networks import Encoder
from pyro_dcign.runs.codes import posterior_mean
from pyro_dcign.runs.run import Run, build
from pyro_dcign.training.optimizers import adam
from pyro_dcign.training.svi import TypedSVI, typed_svi

FACTORS = {
    "azimuth": FactorRange(0, 360, (), 360.0),
    "elevation": FactorRange(-30, 30),
    "light": FactorRange(-80, 80),
}
TINY = Config(
    side=20,
    encoder_maps=(4, 3),
    decoder_maps=(3, 1),
    decoder_kernels=(5,),
    latents=8,
    periodic_latents=2,
    device="cpu",
    likelihood="normal",
)
GUIDES = sorted(known_guides())
GROUPED = ["adaptive", "product_of_experts"]
DRAWN = [name for name in GUIDES if getattr(load_guide(name), "clamp_on", None) == "draw"]
IMAGES = 6


@pytest.fixture(params=GUIDES)
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Run:
    if request.param.startswith("auto"):
        monkeypatch.setattr(Auto, "steps", 5)
    found = build(tmp_path, dataclasses.replace(TINY, guide=request.param), FACTORS)
    with torch.no_grad():  # heads as if trained: far from their start near zero
        g = torch.Generator().manual_seed(1)
        for parameter in found.guide.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    return found


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(IMAGES, 1, 20, 20, generator=torch.Generator().manual_seed(2))


def traced(program, *args, seed=0):
    torch.manual_seed(seed)
    trace = poutine.trace(program).get_trace(*args)
    trace.compute_log_prob()
    return trace


def code_of(run: Run, trace) -> torch.Tensor:
    return run.code.join({name: trace.nodes[name]["value"] for name in run.code.factors})


def log_q(run: Run, trace) -> torch.Tensor:
    return torch.stack([trace.nodes[name]["log_prob"] for name in run.code.factors]).sum(0)


def test_a_guide_samples_each_factor_once_in_the_plate(run: Run, images) -> None:
    trace = traced(run.guide, images)
    assert set(trace.stochastic_nodes) - {"images"} == set(run.code.factors)
    for name, size in run.code.sizes.items():
        fn, value = trace.nodes[name]["fn"], trace.nodes[name]["value"]
        assert (fn.batch_shape, fn.event_shape) == ((IMAGES,), (size,))
        assert value.shape == (IMAGES, size)
        assert fn.has_rsample
        assert value.dtype == torch.float32


def test_an_image_has_a_posterior_of_its_own(run: Run, images) -> None:
    if run.config.guide == "auto":
        pytest.skip("fits images together, with draws for each")
    trace = traced(run.guide, images)
    parts = {name: trace.nodes[name]["value"] for name in run.code.factors}
    for i in range(IMAGES):
        given = poutine.condition(run.guide, {name: z[i : i + 1] for name, z in parts.items()})
        alone = log_q(run, traced(given, images[i : i + 1]))
        torch.testing.assert_close(alone, log_q(run, trace)[i : i + 1], rtol=1e-3, atol=1e-2)


def test_a_plate_to_the_left_draws_many_codes_of_each_image(run: Run, images) -> None:
    def many(x):
        with pyro.plate("draws", 3000, dim=-2):
            run.guide(x)

    with torch.no_grad():
        trace = traced(many, images)
        z = code_of(run, trace)
        assert z.shape == (3000, IMAGES, run.code.latents)
        assert log_q(run, trace).shape == (3000, IMAGES)
        one = code_of(run, traced(run.guide, images))
        assert one.shape == z.shape[1:]
    torch.manual_seed(3)
    mean = posterior_mean(run.guide, images, run.code)
    tolerance = 5 * z.std(0) / 3000**0.5
    # a flow's mean is itself the mean of 64 draws
    tolerance *= 8 if run.config.guide == "flow" else 1
    assert ((z.mean(0) - mean).abs() <= tolerance + 1e-6).all()  # 5 sd, 48 latents: 3e-5


def test_replayed_draws_keep_their_density(run: Run, images) -> None:
    first = traced(run.guide, images)
    again = traced(poutine.replay(run.guide, trace=first), images, seed=1)
    torch.testing.assert_close(log_q(run, again), log_q(run, first), rtol=1e-4, atol=1e-3)


def test_every_parameter_lives_in_the_module(run: Run, images) -> None:
    before = set(pyro.get_param_store().keys())
    typed(run).step(images, run.code.active("light"))
    assert set(pyro.get_param_store().keys()) == before


def test_evaluation_trains_nothing_and_is_repeatable(run: Run, images) -> None:
    before = {n: p.detach().clone() for n, p in run.modules.named_parameters()}
    torch.manual_seed(0)
    first = typed(run).evaluate(images)
    torch.manual_seed(0)
    second = typed(run).evaluate(images)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for name, parameter in run.modules.named_parameters():
        assert torch.equal(before[name], parameter), name
        assert parameter.grad is None, name


def test_a_few_steps_lower_the_loss_of_the_decoder_and_the_guide(run: Run, images) -> None:
    svi = typed(run, lr=3e-3)
    active = run.code.active("intrinsic")
    losses = [sum(t.mean().item() for t in svi.step(images, active)) for _ in range(25)]
    assert sum(losses[-5:]) < sum(losses[:5])


def typed(run: Run, lr: float = 1e-3) -> TypedSVI:
    config = run.config
    if config.guide in DRAWN:
        config = dataclasses.replace(config, clamp_on="draw")
    return TypedSVI(
        run.model,
        run.guide,
        adam(run.modules.parameters(), learning_rate=lr),
        elbo=load_elbo("Trace_ELBO"),
        handler=handler_of(config, run.code, run.guide),
    )


@pytest.mark.parametrize("varying", ["azimuth", "intrinsic"])
@pytest.mark.parametrize("on", ["parameters", "draw"])
class TestClamped:
    def clamped(self, run, varying, on):
        if on == "parameters" and run.config.guide in DRAWN:
            pytest.skip("refused: see test_a_site_without_a_scale_is_clamped_on_its_draw_only")
        return Clamp(run.code, run.code.active(varying), on=on)(run.guide)

    def test_inactive_factors_agree_over_the_minibatch(self, run, images, varying, on) -> None:
        trace = traced(self.clamped(run, varying, on), images)
        for name in run.code.factors:
            site = trace.nodes[name]
            held = site["value"] if on == "draw" else site["fn"].base_dist.loc
            assert torch.equal(held, held[:1].expand_as(held)) == (name != varying), name

    def test_clamp_commutes_with_replay(self, run, images, varying, on) -> None:
        past = traced(self.clamped(run, varying, on), images, seed=9)
        inside = traced(poutine.replay(self.clamped(run, varying, on), trace=past), images)
        torch.testing.assert_close(code_of(run, inside), code_of(run, past))
        torch.testing.assert_close(log_q(run, inside), log_q(run, past), rtol=1e-4, atol=1e-3)

    def test_clamp_of_a_clamp_is_the_clamp(self, run, images, varying, on) -> None:
        once = self.clamped(run, varying, on)
        twice = Clamp(run.code, run.code.active(varying), on=on)(once)
        a, b = (code_of(run, traced(p, images)) for p in (once, twice))
        torch.testing.assert_close(a, b)

    def test_clamp_does_nothing_when_every_factor_is_active(self, run, images, varying, on) -> None:
        self.clamped(run, varying, on)
        everything = torch.ones(len(run.code.factors), dtype=torch.bool)
        clamped = Clamp(run.code, everything, on=on)(run.guide)
        a, b = (code_of(run, traced(p, images)) for p in (clamped, run.guide))
        assert torch.equal(a, b)


def test_exchange_permutes_what_a_guide_gives(run: Run, images) -> None:
    exchanged = Exchange(run.code, run.code.active("light"))(run.guide)
    if run.config.guide in DRAWN:
        site = traced(exchanged, images).nodes["azimuth"]
        given, value = site["fn"], site["value"]
        assert (given.origin != torch.arange(len(images))).all()
        own = given.fn.log_prob(value[given.back])
        assert torch.equal(given.log_prob(value), own[given.origin])
        return
    swapped, own = (
        traced(p, images).nodes["azimuth"]["fn"].base_dist.loc for p in (exchanged, run.guide)
    )
    assert torch.equal(swapped.sort(0).values, own.sort(0).values)
    assert not torch.equal(swapped, own)


def test_every_guide_is_charged_for_disagreement(run: Run, images) -> None:
    exchanged = Exchange(run.code, run.code.active("light"), agreement=2.0)(run.guide)
    nodes = traced(exchanged, images).nodes
    for name in run.code.factors:
        charge = nodes[f"{name} agreement"]["log_prob"]
        assert charge.shape == (len(images),)
        if run.config.guide not in DRAWN:  # an estimate from one draw may be negative
            assert (charge > -1e-6).all()
    if run.config.guide.startswith("auto"):  # climbs for each image by itself, and learns nothing
        return
    nodes["intrinsic agreement"]["log_prob"].sum().backward()
    gradients = [p.grad for p in run.guide.parameters() if p.grad is not None]
    assert any(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("name", DRAWN)
def test_a_site_without_a_scale_is_clamped_on_its_draw_only(name, tmp_path, images) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, guide=name), FACTORS)
    run.guide.steps = 2
    with pytest.raises(InputError, match=r'loc and scale, got .*; clamp on="draw" instead'):
        Clamp(run.code, run.code.active("light"))(run.guide)(images)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("clamp", ["mean", "first"])
def test_a_clamp_that_a_guide_cannot_have_is_refused_before_training(name, clamp, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, guide=name, handler=clamp), FACTORS)
    with pytest.raises(
        InputError, match=f"--guide {name} .* --handler {clamp} .* --handler exchange"
    ):
        typed_svi(run)
    for changes in ({"handler": "exchange"}, {"handler": "none"}, {"clamp_on": "draw"}):
        typed_svi(dataclasses.replace(run, config=dataclasses.replace(run.config, **changes)))


def test_a_full_rank_guide_has_the_covariance_of_its_triangle(tmp_path, images) -> None:
    factors = {name: FACTORS[name] for name in ("elevation", "light")}
    for name in ("full_rank", "low_rank"):
        run = build(tmp_path, dataclasses.replace(TINY, guide=name), factors)
        with torch.no_grad():
            for parameter in run.guide.parameters():
                parameter.mul_(20)

        def many(run=run):
            with pyro.plate("draws", 40_000, dim=-2):
                run.guide(images[:1])

        with torch.no_grad():
            z = code_of(run, traced(many))[:, 0, :2].double()
            features = run.guide.encoder(images[:1])
            scale = (run.guide.log_variance(features) / 2).exp()[0, :2].double().diag()
            if name == "full_rank":
                a = run.guide.regression(features).view(2, 2).tril(-1).double()
                root = scale @ (torch.eye(2, dtype=a.dtype) + a)
                wanted = root @ root.T
            else:
                v = run.guide.directions(features).view(2, 1).double()
                wanted = scale @ (torch.eye(2, dtype=v.dtype) + v @ v.T) @ scale
        found = z.T.cov()
        width = wanted.diag().prod().sqrt()
        # 5 standard errors of a covariance, which is at most sqrt(2) · sd · sd / sqrt(draws)
        assert wanted[0, 1].abs() > 0.1 * width, name
        spread = (wanted.diag()[:, None] * wanted.diag()).sqrt()
        assert ((found - wanted).abs() <= 5 * 2**0.5 * spread / 200).all(), name


def test_product_of_two_experts_by_hand() -> None:
    loc, scale = torch.tensor([[[0.0], [3.0]]]), torch.tensor([[[1.0], [2.0]]])
    mean, width = product(loc, scale)
    # precisions 1 and 1/4: mean 3/4 over 5/4, variance 4/5
    torch.testing.assert_close(mean, torch.full((1, 2, 1), 0.6))
    torch.testing.assert_close(width, torch.full((1, 2, 1), 0.8**0.5))


def test_a_pair_agrees_where_the_divergence_is_below_the_midpoint() -> None:
    loc = torch.tensor([[[0.0, 0.0], [0.2, 4.0]]])
    mean, scale = pair(loc, torch.ones(1, 2, 2))
    torch.testing.assert_close(mean, torch.tensor([[[0.1, 0.0], [0.1, 4.0]]]))
    assert torch.equal(scale, torch.ones(1, 2, 2))


@pytest.mark.parametrize("name", GROUPED)
def test_a_grouped_guide_takes_the_clamps_place_and_only_while_training(
    name, tmp_path, images
) -> None:
    config = dataclasses.replace(TINY, guide=name)
    run = build(tmp_path, config, FACTORS)
    handler = handler_of(config, run.code, run.guide)
    assert isinstance(handler(run.code.active("light")), InGroups)
    assert handler_of(dataclasses.replace(config, handler="none"), run.code, run.guide) is None
    both = torch.stack([run.code.active("light"), run.code.active("intrinsic")])
    free = traced(run.guide, images)
    grouped = traced(handler(both)(run.guide), images)
    assert run.guide.groups is None
    changed = free.nodes["azimuth"]["fn"].base_dist.loc != (
        loc := grouped.nodes["azimuth"]["fn"].base_dist.loc
    )
    assert changed.any()
    if name == "product_of_experts":
        groups = loc.view(2, 3, -1)
        assert torch.equal(groups, groups[:, :1].expand_as(groups))
        light = grouped.nodes["light"]["fn"].base_dist.loc.view(2, 3)
        assert len(light[0].unique()) == 3
        assert len(light[1].unique()) == 1


def test_a_group_is_forgotten_after_an_error(tmp_path, images) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, guide="adaptive"), FACTORS)
    with pytest.raises(RuntimeError), InGroups(run.guide, run.code.active("light")):
        raise RuntimeError
    assert run.guide.groups is None


def test_semi_amortised_steps_raise_the_elbo(tmp_path, images) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, guide="semi_amortised"), FACTORS)
    guide = run.guide
    assert not any(name.startswith("seen") for name, _ in guide.named_parameters())
    with torch.no_grad():
        features = guide.encoder(images)
        start = guide.loc(features), guide.log_variance(features) / 2
        better = guide.improve(images, *start)
        assert (guide._elbo(images, *better) > guide._elbo(images, *start)).all()
    assert all(p.grad is None for p in run.modules.parameters())


def test_auto_is_fitted_once_for_the_same_images_and_decoder(tmp_path, images, monkeypatch) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, guide="auto"), FACTORS)
    monkeypatch.setattr(run.guide, "steps", 3)
    state = torch.get_rng_state()
    first = run.guide._fits(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, run.guide._fits(images), strict=True))
    run.guide(images)
    kept = run.guide.kept
    run.guide(images)
    assert run.guide.kept is kept
    with torch.no_grad():
        next(run.model.parameters()).mul_(1.5)
    run.guide(images)
    assert run.guide.kept is not kept


ENCODER = Encoder(16, (2,), kernel=3)


def kind_of(kind):
    return type("Kind", (Auto,), {"kind": kind})


@pytest.mark.parametrize("kind", [*INDEPENDENT, *CORRELATED])
def test_an_autoguide_finds_the_posterior_of_an_image(kind) -> None:
    linear, one = linear_run(), intensities(linear_images(1)[0])
    triangle, read = linear.guide.triangle, linear.guide.read
    covariance = triangle @ triangle.T
    wanted = (one.flatten(1) - 0.5) @ read.T
    guide = kind_of(kind)(ENCODER, CODE)
    guide.bind(linear.model)
    loc, root = guide._fits(one)
    variances = covariance.diagonal()
    if kind in INDEPENDENT:  # the closest in KL(q | p) has the conditional variances
        variances = 1 / torch.linalg.inv(covariance).diagonal()
    assert ((loc - wanted).abs() < 0.4 * covariance.diagonal().sqrt()).all()
    found = (root @ root.mT)[0]
    assert (found.diagonal() / variances).log().abs().max() < 0.5
    correlation = found[0, 1] / (found[0, 0] * found[1, 1]).sqrt()
    # azimuth and light share pixels: -0.54
    assert correlation == pytest.approx(0 if kind in INDEPENDENT else -0.54, abs=0.2)


def test_a_correlated_autoguide_draws_from_its_covariance(tmp_path, images) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, guide="auto_low_rank"), FACTORS)
    run.guide.steps = 20

    def many():
        with pyro.plate("draws", 40_000, dim=-2):
            run.guide(images[:2])

    trace = traced(many)
    z = code_of(run, trace).double()
    loc, root = (part.double() for part in run.guide.kept[2])
    for i in range(2):
        spread = root[i] @ root[i].T
        sd = spread.diagonal().sqrt()
        off = (z[:, i].T.cov() - spread).abs() / (sd[:, None] * sd)
        assert off.max() < 5 * 2**0.5 / 200  # standard errors of a covariance
        whole = torch.distributions.MultivariateNormal(loc[i], scale_tril=root[i])
        joint = log_q(run, trace)[:, i].double()
        torch.testing.assert_close(joint, whole.log_prob(z[:, i]), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("kind", [AutoDelta, AutoIAFNormal, AutoLaplaceApproximation])
def test_an_autoguide_that_is_not_normal_is_refused_in_one_line(kind) -> None:
    with pytest.raises(InputError, match=f"AutoMultivariateNormal, got {kind.__name__}; for other"):
        kind_of(kind)(ENCODER, CODE)


THIRD_PARTY = Path(__file__).parent / "third_party_guide.py"


def test_a_guide_loads_from_file_module_and_entry_point(monkeypatch) -> None:
    from_file = load_guide(f"{THIRD_PARTY}:Laplace")
    assert load_guide(f"{THIRD_PARTY}:Laplace") is from_file
    monkeypatch.setitem(sys.modules, "somewhere", sys.modules[from_file.__module__])
    assert load_guide("somewhere:Laplace") is from_file
    mine = EntryPoints([EntryPoint("heavy", "somewhere:Laplace", guide_module.GROUP)])
    monkeypatch.setattr(guide_module, "entry_points", lambda group: mine)
    assert load_guide("heavy") is from_file
    assert "heavy" in known_guides()


def test_the_example_of_the_page_runs_and_keeps_the_laws(tmp_path, images) -> None:
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = THIRD_PARTY.read_text(encoding="utf-8")
    assert example in page
    assert len(example.splitlines()) <= 32
    run = build(tmp_path, dataclasses.replace(TINY, guide=f"{THIRD_PARTY}:Laplace"), FACTORS)
    test_a_guide_samples_each_factor_once_in_the_plate(run, images)
    test_a_plate_to_the_left_draws_many_codes_of_each_image(run, images)
    trace = traced(Clamp(run.code, run.code.active("light"))(run.guide), images)
    assert len(trace.nodes["azimuth"]["fn"].base_dist.loc.unique(dim=0)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nosuch", "guide is one of .*mean_field.*got 'nosuch'; check the spelling"),
        ("nosuch.module:Guide", "needs the module 'nosuch'; install it"),
        ("nosuch.py:Guide", "nosuch.py does not exist; check the path"),
        (f"{THIRD_PARTY}:Nosuch", "has no class 'Nosuch'"),
    ],
)
def test_a_guide_that_is_not_there_is_one_line(name, line) -> None:
    with pytest.raises(InputError, match=line):
        load_guide(name)


def test_a_flow_without_zuko_is_one_line(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "pyro_dcign.guides.flow", raising=False)
    monkeypatch.setitem(sys.modules, "zuko", None)
    monkeypatch.setitem(sys.modules, "zuko.transforms", None)
    with pytest.raises(InputError, match=r"guide 'flow' needs the module 'zuko.*'; install it"):
        load_guide("flow")
