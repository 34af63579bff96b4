"""Laws of captured steps: they are the plain ones, and give way to them where a guide cannot be."""

import dataclasses
from contextlib import nullcontext

import pyro
import pytest
import torch
from bench import FACTORS, NoiseFeed
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pyro_dcign.config import PRESETS
from pyro_dcign.measures.compare import config_of
from pyro_dcign.model.guide import known_guides, load_guide
from pyro_dcign.runs.run import Run, build
from pyro_dcign.training.steps import CapturedSteps, PlainSteps
from pyro_dcign.training.svi import typed_svi

SMALL = dataclasses.replace(PRESETS["small"], device="cpu", precision="float32")


def both(folder, config) -> tuple[tuple[Run, CapturedSteps], tuple[Run, PlainSteps]]:
    runs = [build(folder, config, FACTORS) for _ in range(2)]
    svis, feeds = [typed_svi(run) for run in runs], [NoiseFeed(run, rows=8) for run in runs]
    captured = CapturedSteps(svis[0], feeds[0], block=20, minibatches=2)
    return (runs[0], captured), (runs[1], PlainSteps(svis[1], feeds[1]))


def parameters(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.modules.parameters()])


def test_a_step_that_cannot_be_captured_runs_plain_and_says_why(tmp_path, monkeypatch) -> None:
    (run, captured), (other, plain) = both(tmp_path, SMALL)

    def refuse() -> None:
        raise RuntimeError("called a synchronizing operation\nC++ stack")

    monkeypatch.setattr(captured, "_capture", refuse)
    draws = plain.feed.draw(2, 2)
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match=r"runs uncaptured, which is slower: called a .*ation$"):
        first = captured(draws)
    torch.manual_seed(0)
    assert torch.equal(first, plain(draws))
    assert torch.equal(parameters(run), parameters(other))
    captured(draws)  # once is enough


def captured_config(guide: str, clamp: str):
    if not getattr(load_guide(guide), "capturable", True):
        pytest.skip("is not captured")
    return config_of(dataclasses.replace(SMALL, handler=clamp), guide, 0)


class NoWord(TorchDispatchMode):
    """Refuses whatever would make a device wait for the host, or the host for a device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **kwargs or {})
        tensors = [[x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]
                   for tree in ((args, kwargs), found)]  # fmt: skip
        here, there = ({x.device.type for x in some} for some in tensors)
        name = str(function).removeprefix("aten.")
        waits = name.startswith(("_local_scalar_dense", "nonzero"))
        waits |= "cpu" in here and "meta" in there and "copy" in name
        assert not waits, f"{name} waits"
        return found


@pytest.mark.parametrize("clamp", ["mean", "first", "exchange", "none"])
@pytest.mark.parametrize("guide", known_guides())
def test_no_step_makes_the_device_wait(guide: str, clamp: str, tmp_path, monkeypatch) -> None:
    cast, made = torch.autocast, torch.tensor

    def tensor(*data, device=None, **options):  # is not dispatched: a number goes to the device
        assert device is None or torch.device(device).type != "meta", "torch.tensor waits"
        return made(*data, device=device, **options)

    monkeypatch.setattr(torch, "tensor", tensor)
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *a, **k: nullcontext() if kind == "meta" else cast(kind, *a, **k),
    )
    run = build(tmp_path, captured_config(guide, clamp), FACTORS)
    run.modules.to("meta")  # stands for a device: it has shapes and no numbers
    images = torch.empty(40, 1, 64, 64, device="meta")
    active = torch.empty(2, 4, dtype=torch.bool, device="meta")
    svi = typed_svi(run)
    with pyro.validation_enabled(False), NoWord():
        svi.gradients(images, active)


@pytest.mark.parametrize("cuts", [1, 4])
def test_no_choice_of_minibatches_makes_the_device_wait(cuts: int, tmp_path) -> None:
    feed = NoiseFeed(build(tmp_path, SMALL, FACTORS), rows=4)
    feed.cuts, feed.pixels = cuts, feed.pixels.to("meta")
    with NoWord():
        images = feed.images(torch.zeros(3, dtype=torch.int64, device="meta"))
    assert images.shape == (3 * 20 // cuts, 1, 64, 64)


@pytest.mark.gpu
@pytest.mark.parametrize("clamp", ["mean", "first", "exchange", "none"])
@pytest.mark.parametrize("guide", known_guides())
def test_captured_steps_are_plain_steps(guide: str, clamp: str, tmp_path, monkeypatch) -> None:
    # Whatever sums in no fixed order is magnified by Adam, and by a guide that climbs its own ELBO.
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    config = dataclasses.replace(captured_config(guide, clamp), device="cuda")
    (run, captured), (other, plain) = both(tmp_path, config)
    draws = plain.feed.draw(20, 2)
    torch.manual_seed(0)
    first = captured(draws)
    torch.manual_seed(0)
    second = plain(draws)
    torch.testing.assert_close(first[:1], second[:1], rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-2)
    apart = (parameters(run) - parameters(other)).abs()
    assert apart.max() < 20 * 2 * 5e-4
    assert apart.mean() < 1e-4


@pytest.mark.gpu
def test_a_guide_that_reads_a_value_gives_way(tmp_path) -> None:
    config = dataclasses.replace(SMALL, device="cuda")
    (run, captured), _ = both(tmp_path, config)
    inner = captured.svi.guide

    class Reads(nn.Module):
        def forward(self, images):
            assert images.sum().item() > 0
            inner(images)

    captured.svi.guide = Reads()
    before = parameters(run)
    with pytest.warns(UserWarning, match="synchroniz"):
        captured(captured.feed.draw(2, 2))
    assert not torch.equal(parameters(run), before)
