"""Laws of Muon: which weights it turns, by how much, and that Adam keeps the rest."""

import dataclasses

import pytest
import torch
from bench import FACTORS, NoiseFeed
from tiny import TINY, trained
from torch import nn

from pyro_dcign.config import PRESETS
from pyro_dcign.errors import InputError
from pyro_dcign.runs.checkpoint import OPTIMIZER, newest_checkpoint
from pyro_dcign.runs.run import build
from pyro_dcign.training.optimizers import Muon, adam, hidden_weights, kept_of, orthogonalized
from pyro_dcign.training.resume import restore
from pyro_dcign.training.svi import typed_svi

WIDE = dataclasses.replace(
    TINY,
    encoder_maps=(32, 32),
    decoder_maps=(32, 32, 1),
    latents=32,
    optimizer="muon",
    learning_rate=1e-3,
)


def quintic(sigma: float) -> float:
    """Five iterations on one singular value, by hand."""
    for _ in range(5):
        sigma = 3.4445 * sigma - 4.7750 * sigma**3 + 2.0315 * sigma**5
    return sigma


def test_singular_values_of_a_diagonal_matrix_go_through_the_quintic() -> None:
    (found,) = orthogonalized([torch.diag(torch.tensor([3.0, 4.0]))])
    wanted = torch.diag(torch.tensor([quintic(0.6), quintic(0.8)]))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_matrices_of_any_shapes_are_orthogonalized_each_for_itself() -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(5, 40), 1e-6 * torch.randn(300, 20), torch.randn(33, 900)]
    for one, found in zip(matrices, orthogonalized(matrices), strict=True):
        u, s, v = torch.linalg.svd(one.double(), full_matrices=False)
        values = torch.tensor([quintic(x) for x in (s / s.norm()).tolist()], dtype=torch.float64)
        torch.testing.assert_close(found.double(), u * values @ v, rtol=1e-3, atol=1e-4)
        assert 0.65 < values.min() < values.max() < 1.25


def test_no_gradient_at_all_moves_nothing() -> None:
    (found,) = orthogonalized([torch.zeros(4, 9)])
    assert found.abs().max() == 0


def test_the_papers_hidden_weights_are_turned_and_nothing_else(tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(PRESETS["paper"], device="cpu"), FACTORS)
    shapes = [tuple(w.shape) for w in hidden_weights(run.modules)]
    decoder = [(7200, 200), (64, 32, 7, 7), (96, 64, 7, 7), (96, 96, 7, 7)]
    encoder = [(64, 96, 5, 5), (32, 64, 5, 5), (200, 7200), (200, 7200)]
    assert shapes == decoder + encoder
    names = {id(p): n for n, p in run.modules.named_parameters()}
    assert all(names[id(w)].endswith("weight") for w in hidden_weights(run.modules))


def test_whatever_a_guide_holds_for_each_image_stays_with_adam() -> None:
    class PerImage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loc = nn.Parameter(torch.zeros(100, 50))

    assert hidden_weights(PerImage()) == []


def test_a_turned_weight_moves_by_the_size_of_an_adam_step_and_others_by_adam() -> None:
    torch.manual_seed(0)
    module = nn.Linear(64, 48)
    weight, bias = module.weight.detach().clone(), nn.Parameter(module.bias.detach().clone())
    optimizer, other = Muon(module, learning_rate=1e-2), adam([bias], learning_rate=1e-2)
    module.weight.grad, module.bias.grad = torch.randn(48, 64), torch.randn(48)
    bias.grad = module.bias.grad.clone()
    gradient = module.weight.grad.clone()
    optimizer.step()
    other.step()
    torch.testing.assert_close(module.bias, bias, rtol=0, atol=0)
    # The first average is .05 g; .05 g + .95 · .05 g is the gradient's own direction.
    (turned,) = orthogonalized([gradient])
    torch.testing.assert_close(module.weight, weight - 1e-2 * 0.2 * 8 * turned)
    assert 0.1 < (module.weight - weight).pow(2).mean().sqrt() / 1e-2 < 0.3


def test_training_with_muon_learns_and_resumes_bit_for_bit(store, tmp_path) -> None:
    whole = trained(tmp_path / "whole", store, WIDE)
    trained(tmp_path / "parts", store, dataclasses.replace(WIDE, steps=20))
    again = trained(tmp_path / "parts", store, WIDE, resume=True)
    for a, b in zip(whole.modules.parameters(), again.modules.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_learns_more_in_as_many_steps(tmp_path) -> None:
    losses = {}
    for name in ("adam", "muon"):
        torch.manual_seed(0)
        run = build(tmp_path, dataclasses.replace(WIDE, optimizer=name), FACTORS)
        svi, feed = typed_svi(run), NoiseFeed(run, rows=1)
        draws = feed.draw(100, 1)
        images, active = feed.images(draws.rows[0]), draws.active[0]
        taken = [svi.step(images, active).reconstruction.mean() for _ in range(100)]
        losses[name] = float(torch.stack(taken[-10:]).mean())
    assert losses["muon"] < losses["adam"]


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_moments_of_another_optimizer_are_refused(optimizer: str, store, tmp_path) -> None:
    config = dataclasses.replace(WIDE, steps=20)
    run = trained(tmp_path / "run", store, dataclasses.replace(config, optimizer=optimizer))
    other = Muon(run.modules) if optimizer == "adam" else adam(run.modules.parameters())
    assert newest_checkpoint(run.folder)
    with pytest.raises(InputError, match=rf"{OPTIMIZER} is to hold the optimiser's moments"):
        restore(run, other)


def test_what_is_kept_is_what_a_step_leaves() -> None:
    module = nn.Linear(64, 48)
    optimizer = Muon(module)
    module(torch.randn(3, 64)).sum().backward()
    optimizer.step()
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert [set(optimizer.state[p]) for p in held] == kept_of(optimizer)
