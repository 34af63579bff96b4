"""Stores, plans and schedules of before types were sets: they open, and mean what they meant.

``old_store`` was written by commit 6e79405, whose types were single factors, as were the digests:
``make(old_store, Recipe("fake", counts((*FakeScene().factors, "intrinsic"), train=2, intrinsic=3,
test=1), side=8, size=3, seed=4), load)``.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_scene import FakeScene, load

from pyro_dcign.code import FactorRange, GraphicsCode
from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.labelled import evaluation_set
from pyro_dcign.datasets.plans.census import Census
from pyro_dcign.datasets.plans.plan import Planner
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.errors import InputError
from pyro_dcign.training.schedule import Schedule, parse_ratio

OLD = Path(__file__).parent / "old_store"
TYPES = ("azimuth", "elevation", "light", "intrinsic")
CODE = GraphicsCode({"azimuth": 1, "elevation": 1, "light": 1}, intrinsic=5)


def digest(plan) -> str:
    parts = (part.contiguous().numpy().tobytes() for part in (plan.identity, plan.factors))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def test_an_old_store_opens_and_keeps_its_promises() -> None:
    store = Store.open(OLD)
    assert store.types == TYPES
    assert store.counts("train") == {"azimuth": 2, "elevation": 2, "light": 2, "intrinsic": 3}
    assert check(store).problems == []
    assert [minibatch.varying for minibatch in store.minibatches("test")] == list(TYPES)
    assert len(evaluation_set(store)) == 12


def test_an_old_manifest_is_written_again_to_the_byte() -> None:
    store = Store.open(OLD)
    assert store.manifest.to_json().encode() == (OLD / "manifest.json").read_bytes()


def test_an_old_recipe_still_makes_the_old_shards(tmp_path) -> None:
    number = counts(TYPES, train=2, intrinsic=3, test=1)
    recipe = Recipe("fake", number, side=8, size=3, seed=4)
    store = make(tmp_path / "set", recipe, load, workers=1, quiet=True)
    assert store.manifest.shards == Store.open(OLD).manifest.shards
    further = replace(recipe, minibatches=counts((*TYPES, "pose"), train=2, intrinsic=3, test=1))
    store = make(tmp_path / "further", further, load, workers=1, quiet=True)
    for shard in Store.open(OLD).manifest.shards["train"]:
        assert shard in store.manifest.shards["train"]


def test_an_old_store_trains_at_short_ratios_and_refuses_poses() -> None:
    numbers = Store.open(OLD).counts("train")
    assert Schedule(numbers, parse_ratio("1:10", CODE)).draw(5)
    with pytest.raises(InputError, match=r"type pose, found none.*--types pose=250"):
        Schedule(numbers, parse_ratio("each=1,pose=5", CODE))


DRAWN = {
    ("train", "azimuth"): "c23a1fd0914497ab",
    ("train", "elevation"): "9d5c0b757366a2c0",
    ("train", "light"): "d33d42dbaf9b643b",
    ("train", "intrinsic"): "63b7dd4806523745",
    ("test", "azimuth"): "adeac4a6ffbca40d",
    ("test", "elevation"): "e33b6ee333387145",
    ("test", "light"): "174bb8b465bf23c8",
    ("test", "intrinsic"): "457ab3ba7d9dc5e0",
}


@pytest.mark.parametrize("kind", DRAWN)
def test_a_plan_draws_what_it_drew(kind) -> None:
    planner = Planner(FakeScene().factors, 7, size=5)
    assert digest(planner.plan(*kind, range(4))) == DRAWN[kind]


GRID = {
    "turn": FactorRange(0, 3, (0.0, 1.0, 2.0, 3.0)),
    "lift": FactorRange(0, 2, (0.0, 1.0, 2.0)),
}
VISITED = {
    "turn": "706e421df4a877f2",
    "lift": "59ce69fe8b809cd4",
    "intrinsic": "43a85dc54ea49fd6",
}


@pytest.mark.parametrize("varying", VISITED)
def test_a_census_visits_what_it_visited(varying) -> None:
    census = Census(GRID, 7, size=5, identities={"train": (0, 11), "test": (11, 18)})
    assert digest(census.plan("train", varying, range(40))) == VISITED[varying]
    found = census.counts("train")
    assert {**found, "pose": 0} == {"turn": 33, "lift": 44, "pose": 0, "intrinsic": 36}


SCHEDULED = {
    "1:10": "3d29acfcd650a3b4",
    "1:1:1:10": "3d29acfcd650a3b4",
    "0:2:1:3": "5a12952c977cd014",
    "1:1": "3788c3869d46e79e",
}


@pytest.mark.parametrize("ratio", SCHEDULED)
def test_a_schedule_draws_what_it_drew(ratio) -> None:
    numbers = {"azimuth": 30, "elevation": 20, "light": 10, "intrinsic": 40}
    drawn = Schedule(numbers, parse_ratio(ratio, CODE), 5).draw(1000)
    assert hashlib.sha256(json.dumps(drawn).encode()).hexdigest()[:16] == SCHEDULED[ratio]


def test_an_old_schedule_goes_on() -> None:
    state = {
        "counts": {"azimuth": 30, "elevation": 20, "light": 10, "intrinsic": 40},
        "ratio": {"azimuth": 1.0, "elevation": 1.0, "light": 1.0, "intrinsic": 1.0},
        "generator": {
            "bit_generator": "PCG64",
            "state": {
                "state": 656886528577375639726956869858349790,
                "inc": 233193750087604940414945475171846202189,
            },
            "has_uint32": 0,
            "uinteger": 0,
        },
    }
    schedule = Schedule(state["counts"], parse_ratio("1:1", CODE), 5)
    schedule.draw(1000)
    wanted, schedule = schedule.draw(9), Schedule(state["counts"], parse_ratio("1:1", CODE), 0)
    schedule.load_state_dict(state)
    assert schedule.draw(9) == wanted
