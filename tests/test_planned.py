"""A planned store: no images on disk, and the very images that a stored one would hold."""

import dataclasses
import json

import pytest
import torch
from tiny import TINY, trained

from pyro_dcign.cli import main
from pyro_dcign.datasets.generate import ensure, scene_loader
from pyro_dcign.datasets.labelled import evaluation_set
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.datasets.plans.rendering import Rendering
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.errors import InputError
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.scenes.people import People

TYPES = (*Heads.factors, "intrinsic")
RECIPE = Recipe("faces", counts(TYPES, train=2, intrinsic=5, test=1), side=16, size=4)
PLAN = dataclasses.replace(RECIPE, stored=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    load = scene_loader("faces")
    stored = ensure(folder / "stored", RECIPE, load, workers=1, quiet=True)
    ensure(folder / "plan", PLAN, load)
    return stored, folder / "plan"


def test_a_plan_is_a_manifest_and_no_images(both) -> None:
    assert [path.name for path in both[1].iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_rendered_on_opening_is_what_would_have_been_stored(both, split) -> None:
    stored, plan = both[0].load(split), Store.open(both[1]).load(split)
    assert list(plan) == list(stored)
    for varying, block in stored.items():
        for name, part in block._asdict().items():
            assert torch.equal(part, getattr(plan[varying], name)), (varying, name)


def test_a_minibatch_is_the_same_alone_and_after_all_were_rendered(both) -> None:
    plan = Store.open(both[1])
    alone = plan.minibatch("train", "intrinsic", 4)
    plan.load("train")
    later = plan.minibatch("train", "intrinsic", 4)
    wanted = both[0].minibatch("train", "intrinsic", 4)
    for found in (alone, later):
        assert torch.equal(found.pixels, wanted.pixels)
        assert torch.equal(found.identity, wanted.identity)
        assert {k: v.tolist() for k, v in found.factors.items()} == {
            k: v.tolist() for k, v in wanted.factors.items()
        }


def test_each_image_is_rendered_once(both, monkeypatch) -> None:
    calls = []
    block = Rendering.block
    monkeypatch.setattr(Rendering, "block", lambda s, i: calls.append(len(i)) or block(s, i))
    plan = Store.open(both[1])
    assert plan.identities("train").numel() > 4
    assert calls == []  # who is shown is known without a picture
    everything = plan.pixels("train")
    for _ in range(2):
        plan.load("train")
        evaluation_set(plan, "train")
        assert torch.equal(plan.pixels("train"), everything)
    assert sum(calls) == 2 + 2 + 2 + 5


def test_all_images_of_a_plan_lie_in_one_place_alone(both) -> None:
    plan = Store.open(both[1])
    before = plan.load("train")["intrinsic"].pixels
    whole = plan.pixels("train")
    assert torch.equal(whole[-5:], before)
    assert plan.load("train")["intrinsic"].pixels.data_ptr() == whole[-5:].data_ptr()
    assert torch.equal(whole, both[0].pixels("train"))


def test_a_network_trains_on_a_plan_as_on_the_stored_images(both, tmp_path) -> None:
    config = dataclasses.replace(TINY, steps=3)
    runs = [trained(tmp_path / n, s, config) for n, s in
            (("a", both[0]), ("b", Store.open(both[1])))]  # fmt: skip
    a, b = (torch.cat([p.detach().flatten() for p in run.modules.parameters()]) for run in runs)
    assert torch.equal(a, b)


def test_a_plan_keeps_its_promises(both) -> None:
    assert check(Store.open(both[1])).problems == []


def test_a_stored_set_is_not_taken_for_a_plan_of_it(both) -> None:
    with pytest.raises(InputError, match="made with stored False, found True"):
        ensure(both[0].folder, PLAN, scene_loader("faces"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scene", "bfm", "scene is one of faces, people, chairs"),
        ("plan", "../x", "plan is drawn or census"),
        ("seed", -1, "whole numbers"),
        ("seed", None, "whole numbers"),
        ("identities", {"train": [1], "test": [0, 9]}, "one past the last"),
        ("minibatches", {"train": 3}, "not in order"),
        ("minibatches", {"train": {"azimuth": 10**9}, "test": {}}, "up to 64 GB"),
    ],
)
def test_a_plan_that_is_not_in_order_is_refused_in_one_line(
    key, value, said, both, tmp_path
) -> None:
    found = json.loads((both[1] / "manifest.json").read_text())
    found["recipe"][key] = value
    del found["sha256"]  # of a manifest that was written elsewhere
    (tmp_path / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=said) as caught:
        Store.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_scene_that_needs_a_file_cannot_be_planned(tmp_path) -> None:
    recipe = dataclasses.replace(PLAN, scene="ict")
    with pytest.raises(InputError, match="expected a plan of faces or people or chairs, found ict"):
        ensure(tmp_path / "set", recipe, scene_loader("faces"))
    assert not (tmp_path / "set").exists()


def test_people_are_planned_with_their_framing(tmp_path) -> None:
    types = (*People.factors, "intrinsic")
    recipe = Recipe("people", counts(types, train=1, intrinsic=1, test=1), side=12, size=4,
                    stored=False)  # fmt: skip
    ensure(tmp_path / "plan", recipe, scene_loader("people"))
    plan = Store.open(tmp_path / "plan")
    assert plan.types == types
    for varying, block in plan.load("train").items():
        changing = (block.factors != block.factors[:, :1]).flatten(0, 1).any(0)
        assert changing.tolist() == [name == varying for name in People.factors]
        assert block.pixels.float().std() > 10


def test_data_make_plan_only_and_a_fit_on_it(tmp_path, capsys) -> None:
    sizes = "--plain --side 16 --minibatches 2 --test 1 --plan-only"
    with pytest.raises(SystemExit) as caught:
        main(["data", "make", "faces", str(tmp_path / "set"), *sizes.split()])
    assert not caught.value.code
    assert "to be rendered where they are used" in capsys.readouterr().out
    network = "--side 16 --encoder-maps 4 --decoder-maps 4,4,1 --decoder-kernels 3,5 --latents 6"
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--data", str(tmp_path / "set"), "--out", str(tmp_path / "run"),
              "--steps", "2", "--device", "cpu", "--no-report", *network.split()])  # fmt: skip
    assert not caught.value.code


def test_of_a_larger_split_evenly_spaced_minibatches_are_read(both) -> None:
    whole = evaluation_set(both[0], "train")  # 2 + 2 + 2 + 5 minibatches of 4
    assert len(whole) == 44
    for store in (both[0], Store.open(both[1])):
        some = evaluation_set(store, "train", limit=22)
        assert len(some) == (1 + 1 + 1 + 3) * 4
        rows = [0, 8, 16, 24, 32, 40]
        wanted = torch.cat([whole.pixels[r : r + 4] for r in rows])
        assert torch.equal(some.pixels, wanted)
