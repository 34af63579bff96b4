"""The Pyro path against the paper's step in plain PyTorch: loss and every gradient."""

import dataclasses
import math
from collections.abc import Iterator

import pyro
import pytest
import reference
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from pyro_dcign.code import FactorRange
from pyro_dcign.config import PRESETS, Config
from pyro_dcign.model.elbo import load_elbo
from pyro_dcign.model.handlers import handler_of
from pyro_dcign.runs.run import Run, build
from pyro_dcign.training.optimizers import adam
from pyro_dcign.training.svi import TypedSVI

FACTORS = {
    "azimuth": FactorRange(-80, 80),
    "elevation": FactorRange(-30, 30),
    "light": FactorRange(-80, 80),
}
TINY = Config(
    side=24,
    encoder_maps=(4, 3),
    decoder_maps=(3, 4, 1),
    decoder_kernels=(5, 7),
    latents=7,
    device="cpu",
)


@pytest.fixture(params=["paper", "torch7"], scope="module")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    config = dataclasses.replace(PRESETS[request.param], device="cpu")
    run = build(tmp_path_factory.mktemp("run"), config, FACTORS)
    run.modules.double()
    return run


def images_of(run: Run, n: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    side = run.config.side
    return torch.rand(n, 1, side, side, generator=g, dtype=torch.float64)


def typed(run: Run, elbo: str = "Trace_ELBO") -> TypedSVI:
    return TypedSVI(
        run.model,
        run.guide,
        adam(run.modules.parameters()),
        elbo=load_elbo(elbo),
        handler=handler_of(run.config, run.code),
    )


@pytest.mark.parametrize("varying", [*FACTORS, "intrinsic"])
def test_typed_step_has_the_papers_loss_and_every_gradient(run: Run, varying: str) -> None:
    images = images_of(run, 2)
    torch.manual_seed(3)
    losses = typed(run).gradients(images, run.code.active(varying))
    torch.manual_seed(3)  # Pyro draws factor by factor
    noise = torch.cat(
        [torch.randn(2, size, dtype=torch.float64) for size in run.code.sizes.values()], dim=1
    )
    parameters = dict(run.modules.named_parameters())
    loss, gradients = reference.step(
        parameters,
        images,
        noise,
        run.code.slices()[varying],
        maps=run.config.decoder_maps[0],
        first=15,
        strength=run.config.strength,
        to=run.config.handler,
    )
    assert sum(term.sum().item() for term in losses) == pytest.approx(loss, rel=1e-12)
    assert set(gradients) == set(parameters)
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        scale = gradients[name].abs().max()
        assert scale > 0 or (name.startswith("guide") and run.config.strength == 0), name
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=0, atol=1e-10 * float(scale) + 1e-14, msg=name
        )
    run.modules.zero_grad()


@pytest.mark.parametrize("name", ["Trace_ELBO", "TraceMeanField_ELBO"])
def test_on_device_estimators_are_pyros(name: str, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, handler="none"), FACTORS)
    run.modules.double()
    images = images_of(run, 5)
    pyro_elbo = {"Trace_ELBO": Trace_ELBO, "TraceMeanField_ELBO": TraceMeanField_ELBO}[name]()
    torch.manual_seed(0)
    losses = typed(run, name).gradients(images, run.code.active("azimuth"))
    ours = {n: p.grad.clone() for n, p in run.modules.named_parameters()}
    run.modules.zero_grad()
    torch.manual_seed(0)
    with pyro.validation_enabled(False):
        loss = pyro_elbo.differentiable_loss(run.model, run.guide, images)
    loss.backward()
    assert sum(t.sum().item() for t in losses) == pytest.approx(loss.item(), rel=1e-12)
    for n, parameter in run.modules.named_parameters():
        torch.testing.assert_close(ours[n], parameter.grad, rtol=1e-10, atol=1e-10, msg=n)


@pytest.mark.parametrize("name", ["Trace_ELBO", "TraceMeanField_ELBO"])
@pytest.mark.parametrize("setting", [{"handler": "exchange", "agreement": 2.0}, {"strength": 0.5}])
def test_a_handlers_log_factors_enter_as_in_pyros_estimator(name, setting, tmp_path) -> None:
    config = dataclasses.replace(TINY, kl_gradient="kept", **setting)
    run = build(tmp_path, config, FACTORS)
    run.modules.double()
    images, active = images_of(run, 5), run.code.active("azimuth")
    svi = TypedSVI(
        run.model, run.guide, adam(run.modules.parameters()),
        elbo=load_elbo(name), handler=handler_of(config, run.code),
    )  # fmt: skip
    torch.manual_seed(0)
    losses = svi.gradients(images, active)
    ours = {n: p.grad.clone() for n, p in run.modules.named_parameters()}
    run.modules.zero_grad()
    pyro_elbo = {"Trace_ELBO": Trace_ELBO, "TraceMeanField_ELBO": TraceMeanField_ELBO}[name]()
    torch.manual_seed(0)
    with pyro.validation_enabled(False):
        guide = handler_of(config, run.code)(active)(run.guide)
        loss = pyro_elbo.differentiable_loss(run.model, guide, images)
    loss.backward()
    assert sum(t.sum().item() for t in losses) == pytest.approx(loss.item(), rel=1e-12)
    for n, parameter in run.modules.named_parameters():
        torch.testing.assert_close(ours[n], parameter.grad, rtol=1e-10, atol=1e-10, msg=n)


def test_a_weighted_kl_has_so_many_times_its_gradient(tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, handler="none"), FACTORS)
    run.modules.double()
    images, found = images_of(run, 3), {}
    for weight in (0.0, 1.0, 4.0):
        run.modules.zero_grad()
        svi = TypedSVI(
            run.model, run.guide, adam(run.modules.parameters()),
            elbo=load_elbo("Trace_ELBO", kl_weight=weight), handler=None,
        )  # fmt: skip
        torch.manual_seed(0)
        svi.gradients(images, run.code.active("azimuth"))
        found[weight] = torch.cat([p.grad.flatten() for p in run.modules.parameters()])
    kl = found[1.0] - found[0.0]
    assert kl.abs().max() > 0
    torch.testing.assert_close(found[4.0], found[0.0] + 4 * kl)


@pytest.mark.parametrize("scale", [0.1, 0.05])
def test_the_normal_likelihood_has_the_configs_scale(scale: float, tmp_path) -> None:
    settings = {"likelihood": "normal", "pixel_scale": scale, "handler": "none"}
    run = build(tmp_path, dataclasses.replace(TINY, **settings), FACTORS)
    images = images_of(run, 2).float()
    trace = poutine.trace(run.model).get_trace(images)
    z = run.code.join({name: trace.nodes[name]["value"] for name in run.code.factors})
    trace.compute_log_prob()
    errors = (images - run.model.decoder(z).sigmoid()).square().flatten(1).sum(1)
    constant = images[0].numel() * math.log(scale * math.sqrt(2 * math.pi))
    found = -trace.nodes["image"]["log_prob"]
    torch.testing.assert_close(found, errors / (2 * scale**2) + constant, rtol=1e-5, atol=1e-3)


def test_plain_pyro_svi_accepts_model_and_guide(tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, handler="none"), FACTORS)
    images = images_of(run, 5).float()
    svi = SVI(run.model, run.guide, pyro.optim.Adam({}), Trace_ELBO())
    with pyro.validation_enabled(False):
        assert svi.evaluate_loss(images) > 0


def test_nothing_reaches_the_global_parameter_store(tmp_path) -> None:
    before = set(pyro.get_param_store().keys())
    run = build(tmp_path, TINY, FACTORS)
    typed(run).step(images_of(run, 4).float(), run.code.active("light"))
    assert set(pyro.get_param_store().keys()) == before


def test_two_runs_in_one_process_train_as_if_alone(tmp_path) -> None:
    def train() -> torch.Tensor:
        run = build(tmp_path, TINY, FACTORS)
        svi = typed(run)
        torch.manual_seed(5)
        for varying in [*FACTORS, "intrinsic"]:
            svi.step(images_of(run, 4).float(), run.code.active(varying))
        return torch.cat([p.detach().flatten() for p in run.modules.parameters()])

    first, second = train(), train()
    start = torch.cat(
        [p.detach().flatten() for p in build(tmp_path, TINY, FACTORS).modules.parameters()]
    )
    assert torch.equal(first, second)
    assert (first != start).float().mean() > 0.5  # the rest: dead units


def test_evaluation_trains_nothing(tmp_path) -> None:
    run = build(tmp_path, TINY, FACTORS)
    before = [p.detach().clone() for p in run.modules.parameters()]
    typed(run).evaluate(images_of(run, 4).float())
    assert all(torch.equal(a, b) for a, b in zip(before, run.modules.parameters(), strict=True))
    assert all(p.grad is None for p in run.modules.parameters())


def test_optimizer_is_the_released_update_rule() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(50, generator=g, dtype=torch.float64)
    ours, theirs = torch.nn.Parameter(x.clone()), reference.ReleasedRmsprop(x.clone(), 5e-4)
    optimizer = adam(iter([ours]))
    for _ in range(200):
        gradient = torch.randn(50, generator=g, dtype=torch.float64)
        gradient += gradient.sign() / 2
        ours.grad = gradient.clone()
        optimizer.step()
        theirs.step(gradient)
    # The floor 1e-8 stands inside the Lua's root, under gradients of 1/2 and more.
    torch.testing.assert_close(ours.detach(), theirs.x, rtol=0, atol=1e-8)


def test_guide_sees_validated_sites_of_the_model(tmp_path) -> None:
    run = build(tmp_path, TINY, FACTORS)
    images = images_of(run, 3).float()
    trace = poutine.trace(run.guide).get_trace(images)
    replayed = poutine.trace(poutine.replay(run.model, trace=trace)).get_trace(images)
    for name, size in run.code.sizes.items():
        assert trace.nodes[name]["fn"].event_shape == (size,)
        assert replayed.nodes[name]["fn"].batch_shape == (3,)
        assert torch.equal(replayed.nodes[name]["value"], trace.nodes[name]["value"])
