"""Minibatches in which several factors vary: drawn, visited, formed, stored, shown and checked."""

import json

import numpy as np
import pytest
import torch
from fake_scene import FakeScene, load
from test_old_store import GRID
from test_store import FACTORS, same
from tiny import TINY, trained

from pyro_dcign.code import GraphicsCode
from pyro_dcign.datasets.generate import ensure_faces, make
from pyro_dcign.datasets.minibatch import Minibatch
from pyro_dcign.datasets.plans.census import Census
from pyro_dcign.datasets.plans.plan import Planner
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.datasets.readers.bring import bring
from pyro_dcign.datasets.readers.forming import Labels, form
from pyro_dcign.datasets.show import contact_sheet
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.datasets.write import write_store
from pyro_dcign.errors import InputError
from pyro_dcign.training.feed import Draws
from pyro_dcign.training.record import METRICS, by_type
from pyro_dcign.varying import INTRINSIC, standard_types, type_factors

SCENE = FakeScene()
TYPES = (*standard_types(SCENE.factors), "azimuth+light", "light+intrinsic")


def moved(values) -> bool:
    return len(np.unique(np.asarray(values))) > 1


@pytest.mark.parametrize("varying", TYPES)
def test_what_a_type_names_varies_and_all_else_is_held(varying) -> None:
    plan = Planner(SCENE.factors, 3).plan("train", varying, range(5))
    varies = type_factors(varying, SCENE.factors)
    for identity, factors in zip(plan.identity, plan.factors, strict=True):
        assert moved(identity) == (INTRINSIC in varies)
        for name, values in zip(SCENE.factors, factors.unbind(-1), strict=True):
            assert len(values.unique()) == (20 if name in varies else 1)
    held = [name for name in SCENE.factors if name not in varies]
    for name in held:  # one random value a minibatch, another in the next
        assert len(plan.factors[:, 0, list(SCENE.factors).index(name)].unique()) == 5


def test_what_varies_in_a_pose_varies_independently() -> None:
    """Correlations of 4,000 draws: beyond five standard errors in one of 10⁶ runs."""
    drawn = Planner(SCENE.factors, 3).plan("train", "pose", range(200)).factors.flatten(0, 1)
    off = torch.corrcoef(drawn.T) - torch.eye(3)
    assert off.abs().max() < 5 / 4000**0.5


def test_a_census_shows_each_identity_in_a_pose_minibatch() -> None:
    census = Census(GRID, 7, size=5, identities={"train": (0, 11), "test": (11, 18)})
    assert census.counts("train")["pose"] == 11
    plan = census.plan("train", "pose", range(11))
    assert sorted(plan.identity[:, 0].tolist()) == list(range(11))
    for identity, factors in zip(plan.identity, plan.factors, strict=True):
        assert not moved(identity)
        assert len(factors.unique(dim=0)) == 5  # of twelve views
        assert {tuple(view) for view in factors.tolist()} <= {
            (turn, lift) for turn in GRID["turn"].values for lift in GRID["lift"].values
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    recipe = Recipe("fake", counts(TYPES, train=2, intrinsic=3, test=1), side=16, size=6)
    return make(tmp_path_factory.mktemp("types") / "set", recipe, load, workers=1, quiet=True)


def test_a_store_holds_types_of_several_factors_and_gives_them_back(tmp_path) -> None:
    given = []
    generator = torch.Generator().manual_seed(0)
    for varying in ("azimuth+intrinsic", "pose", "azimuth", "pose"):
        pixels = torch.randint(256, (3, 4, 4), generator=generator).byte()
        factors = {name: torch.rand(3, generator=generator) for name in FACTORS}
        given.append(("train", Minibatch(pixels, varying, factors, torch.arange(3))))
    store = write_store(tmp_path / "set", given, factors=FACTORS, recipe={})
    assert store.types == ("azimuth", "light", "pose", "azimuth+intrinsic", "intrinsic")
    assert store.counts("train") == dict(zip(store.types, (1, 0, 2, 1, 0), strict=True))
    wanted = [minibatch for _, minibatch in (given[2], given[1], given[3], given[0])]
    assert all(map(same, Store.open(tmp_path / "set").minibatches("train"), wanted))
    assert store.verify() == []


def test_a_store_takes_a_type_under_its_one_name_only(tmp_path) -> None:
    images = torch.zeros(2, 4, 4, dtype=torch.uint8)
    factors = {name: torch.zeros(2) for name in FACTORS}
    wrong = Minibatch(images, "light+azimuth", factors, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match="found 'light\\+azimuth'"):
        write_store(tmp_path / "set", [("train", wrong)], factors=FACTORS, recipe={})


def test_generated_types_keep_their_promises_and_are_shown(store) -> None:
    assert store.types == (
        "azimuth", "elevation", "light", "azimuth+light", "light+intrinsic", "pose", "intrinsic",
    )  # fmt: skip
    assert check(store).problems == []
    assert contact_sheet(store, rows=1).height > 7 * store.side


@pytest.mark.parametrize(
    ("varying", "changed", "problem"),
    [
        ("pose", {"identity": torch.arange(3)}, "more than one identity"),
        ("pose", dict.fromkeys(FACTORS, torch.zeros(3)), "a pose that does not vary"),
        ("light+intrinsic", {"azimuth": torch.arange(3.0)}, "a azimuth that is not held"),
    ],
)
def test_a_broken_type_of_several_factors_is_found(varying, changed, problem, tmp_path) -> None:
    pixels = torch.randint(256, (3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    moving = torch.tensor([0.1, 0.2, 0.3])
    factors = {n: moving if n in type_factors(varying, FACTORS) else 0 * moving for n in FACTORS}
    factors |= {name: values for name, values in changed.items() if name in FACTORS}
    identity = changed.get("identity", torch.zeros(3, dtype=torch.int64))
    pairs = [("train", Minibatch(pixels, varying, factors, identity))]
    problems = check(write_store(tmp_path / "set", pairs, factors=FACTORS, recipe={})).problems
    assert [line for line in problems if problem in line] == problems != []


def test_a_run_trains_on_sets_and_records_each_by_its_name(store, tmp_path) -> None:
    ratio = "azimuth=1,pose=5,azimuth+light=1,intrinsic=1"
    config = TINY.__class__(**{**vars(TINY), "ratio": ratio, "handler": "exchange"})
    trained(tmp_path / "run", store, config)
    lines = (tmp_path / "run" / METRICS).read_text().splitlines()
    met = [name for line in lines for name in json.loads(line)["train"]]
    assert set(met) == {"azimuth", "azimuth+light", "pose", "intrinsic"}
    assert met.count("pose") == len(lines)


def test_losses_are_averaged_over_the_minibatches_of_their_own_type() -> None:
    code = GraphicsCode({"azimuth": 1, "light": 1}, intrinsic=2)
    types = ["pose", "azimuth", "pose", "azimuth+intrinsic"]
    draws = Draws(torch.arange(4)[None], torch.stack([code.active(name) for name in types])[None])
    history = torch.tensor([[[1.0, 20.0, 3.0, 400.0], [0.1, 2.0, 0.3, 40.0]]])
    found = by_type(draws, history, code)
    assert list(found) == ["azimuth", "pose", "azimuth+intrinsic"]
    assert found["pose"] == pytest.approx({"reconstruction": 2.0, "kl": 0.2})
    assert found["azimuth"] == pytest.approx({"reconstruction": 20.0, "kl": 2.0})


@pytest.mark.parametrize("tolerance", [0.0, 3.0])
def test_formed_poses_never_mix_identities(tolerance) -> None:
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(30), 8)
    known = Labels(
        {name: draw.uniform(-20, 20, 240) for name in ("azimuth", "light")}, people, people >= 20
    )
    about = {"size": 6, "most": 12, "tolerance": dict.fromkeys(known.factors, tolerance)}
    about["seed"] = (0,)
    found = form(known, "pose", split="train", **about)
    assert len(found) == 12
    for numbers in found:
        assert len(np.unique(people[numbers])) == 1
        assert len(np.unique(numbers)) == 6
    assert (people[found] < 20).all()
    # Scattered as they are, no two images agree in all but one factor: the weakest supervision.
    if not tolerance:
        with pytest.raises(InputError, match="found none"):
            form(known, "azimuth", split="train", **about)


def test_poses_need_two_of_one_person() -> None:
    known = Labels(
        {"azimuth": np.array([1.0, 2.0, 3.0, 3.0])}, np.array([0, 1, 2, 2]), np.zeros(4, bool)
    )
    with pytest.raises(InputError, match="found none"):
        form(known, "pose", split="train", size=2, most=1, tolerance={}, seed=(0,))


def test_photographs_of_known_people_import_with_poses_alone(tmp_path) -> None:
    draw = np.random.default_rng(0)
    arrays = {f"factor_{name}": draw.uniform(-20, 20, 80) for name in ("azimuth", "light")}
    images = draw.integers(0, 256, (80, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, identity=np.repeat(np.arange(20), 4), **arrays)
    counts_ = {"minibatches": 0, "intrinsic": 0, "types": "pose=9", "test": 0}
    store = bring("npz", tmp_path / "set.npz", tmp_path / "out", size=4, **counts_, quiet=True)
    assert store.counts("train") == {"azimuth": 0, "light": 0, "pose": 9, "intrinsic": 0}
    assert check(store).problems == []


def test_the_heads_of_a_fit_have_poses(tmp_path) -> None:
    store = ensure_faces(tmp_path / "set", side=16, train=2, intrinsic=3, test=1, stored=False)
    assert store.counts("train")["pose"] == 2
    assert Store.open(tmp_path / "set").types == standard_types(store.factors)


def test_data_make_renders_the_types_that_it_is_told(run, tmp_path) -> None:
    few = ("--minibatches", 1, "--intrinsic", 1, "--test", 1, "--side", 16, "--workers", 1)
    status, out, _ = run(
        "data", "make", "faces", tmp_path / "set", *few, "--types", "azimuth+light=2,pose=3"
    )
    assert status == 0
    assert "2 azimuth+light, 3 pose, 1 intrinsic" in out
    status, _, error = run("data", "make", "faces", tmp_path / "b", *few, "--types", "posture=2")
    assert status == 2
    assert "posture" in error


def test_chairs_turn_in_one_way_so_their_pose_is_their_azimuth(run, tmp_path) -> None:
    few = ("--minibatches", 1, "--intrinsic", 1, "--test", 1, "--side", 16, "--plan-only")
    status, out, _ = run("data", "make", "chairs", tmp_path / "set", *few, "--types", "pose=3")
    assert status == 0
    assert "minibatches to train: 3 azimuth, 1 intrinsic" in out
