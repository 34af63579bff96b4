"""Plain Pyro on model and guide: it trains them, draws from them and copies them."""

import copy
import dataclasses
import gc
import io
import pickle
from pathlib import Path

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.inspect import get_model_relations
from test_guides import FACTORS, GUIDES, TINY

from pyro_dcign.model import Guide, Model, unclamped_losses
from pyro_dcign.runs.run import Run, build

LEARNS = [name for name in GUIDES if not name.startswith("auto")]


@pytest.fixture(autouse=True)
def _empty_store():
    pyro.clear_param_store()
    yield
    pyro.clear_param_store()


def new(folder, guide="mean_field", **changes) -> Run:
    return build(folder, dataclasses.replace(TINY, guide=guide, **changes), FACTORS)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 1, 20, 20, generator=torch.Generator().manual_seed(2))


def plain(run: Run) -> SVI:
    return SVI(run.model, run.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())


def values(module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("guide", LEARNS)
def test_plain_svi_has_our_loss_and_trains_every_parameter(guide, tmp_path, images) -> None:
    run = new(tmp_path, guide)
    torch.manual_seed(0)
    ours = sum(term.sum().item() for term in unclamped_losses(run.model, run.guide, images))
    before = values(run.modules)
    torch.manual_seed(0)
    assert plain(run).step(images) == pytest.approx(ours, rel=1e-5)
    after = values(run.modules)
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_a_guide_without_the_base_class_is_trained_as_well(tmp_path, images) -> None:
    text = Path(__file__).with_name("third_party_guide.py").read_text(encoding="utf-8")
    file = tmp_path / "plain_module.py"
    file.write_text(text.replace("Laplace(Guide)", "Laplace(torch.nn.Module)"), encoding="utf-8")
    run = new(tmp_path, f"{file}:Laplace")
    assert not isinstance(run.guide, Guide)
    before = values(run.guide)
    plain(run).step(images)
    assert not torch.equal(before["loc.weight"], run.guide.loc.weight)


def test_two_networks_and_a_copy_share_no_parameters(tmp_path, images) -> None:
    one, other = new(tmp_path, seed=0), new(tmp_path, seed=1)
    plain(one).step(images)
    twin = copy.deepcopy(one.model), copy.deepcopy(one.guide)
    kept = [values(part) for part in (other.modules, *twin)]
    plain(one).step(images)
    after = [values(part) for part in (other.modules, *twin)]
    for before, now in zip(kept, after, strict=True):
        assert all(torch.equal(before[name], now[name]) for name in before)
    own = values(one.modules)
    plain(other).step(images)
    SVI(*twin, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO()).step(images)
    assert all(torch.equal(own[name], p) for name, p in one.modules.named_parameters())


def test_the_store_forgets_a_network_that_is_gone(tmp_path, images) -> None:
    run = new(tmp_path)
    plain(run).step(images)
    assert len(pyro.get_param_store()) == sum(1 for _ in run.modules.parameters())
    del run
    gc.collect()
    assert len(pyro.get_param_store()) == 0


def test_a_trained_network_is_pickled_and_saved_whole(tmp_path, images) -> None:
    run = new(tmp_path)
    plain(run).step(images)
    file = io.BytesIO()
    torch.save(run.model, file)
    file.seek(0)
    for back in (pickle.loads(pickle.dumps(run.model)), torch.load(file, weights_only=False)):
        assert isinstance(back, Model)
        mine, theirs = values(run.model), values(back)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert pickle.loads(pickle.dumps(run.guide)) is not run.guide


def test_looking_at_a_program_leaves_the_store_empty(tmp_path, images) -> None:
    run = new(tmp_path)
    poutine.trace(run.guide).get_trace(images)
    unclamped_losses(run.model, run.guide, images)
    assert len(pyro.get_param_store()) == 0


def test_the_model_without_images_draws_from_the_prior(tmp_path) -> None:
    run = new(tmp_path)
    trace = poutine.trace(run.model).get_trace(n=3)
    assert trace.nodes["image"]["value"].shape == (3, 1, 20, 20)
    assert not trace.nodes["image"]["is_observed"]
    drawn = Predictive(run.model, num_samples=5)()
    assert drawn["image"].shape == (5, 1, 1, 20, 20)
    together = Predictive(run.model, num_samples=5, parallel=True)(n=2)
    assert together["intrinsic"].shape[:2] == (5, 2)


def test_predictive_draws_codes_of_images_from_the_guide(tmp_path, images) -> None:
    run = new(tmp_path)
    drawn = Predictive(run.model, guide=run.guide, num_samples=6)(images)
    assert drawn["azimuth"].shape == (6, 4, run.code.sizes["azimuth"])
    new_images = Predictive(run.model, guide=run.guide, num_samples=6)
    assert torch.equal(new_images(images)["image"][0], images)


def test_nuts_runs_on_the_model(tmp_path, images) -> None:
    run = new(tmp_path)
    chain = MCMC(
        NUTS(run.model, max_tree_depth=3), num_samples=3, warmup_steps=2, disable_progbar=True
    )
    chain.run(images[:1])
    assert chain.get_samples()["intrinsic"].shape[:2] == (3, 1)


def test_pyro_draws_the_graph_of_the_model(tmp_path, images) -> None:
    run = new(tmp_path)
    found = get_model_relations(run.model, (images,))
    assert set(found["sample_param"]) >= {*run.code.factors, "image"}
    assert set(found["sample_sample"]["image"]) >= set(run.code.factors)
    assert found["observed"] == ["image"]
