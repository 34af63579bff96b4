"""Laws of captured steps: they are the plain ones, and give way to them where a guide cannot be."""

import dataclasses

import pytest
import torch
from torch import nn

from pyro_dcign.bench import FACTORS, NoiseFeed, typed_svi
from pyro_dcign.config import PRESETS
from pyro_dcign.guide import known_guides
from pyro_dcign.run import Run, build
from pyro_dcign.steps import CapturedSteps, PlainSteps

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


@pytest.mark.gpu
@pytest.mark.parametrize("clamp", ["mean", "first", "exchange", "none"])
@pytest.mark.parametrize("guide", known_guides())
def test_captured_steps_are_plain_steps(guide: str, clamp: str, tmp_path) -> None:
    config = dataclasses.replace(SMALL, device="cuda", guide=guide, clamp=clamp)
    (run, captured), (other, plain) = both(tmp_path, config)
    draws = plain.feed.draw(20, 2)
    torch.manual_seed(0)
    first = captured(draws)
    torch.manual_seed(0)
    # cuDNN chooses other algorithms in the two, and sums in another order.
    torch.testing.assert_close(first, plain(draws), rtol=1e-3, atol=1e-2)
    assert (parameters(run) - parameters(other)).abs().max() < 20 * 2 * 5e-4


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
