"""Laws of the chairs: conventions, determinism, variety, and a census that misses no view."""

import collections
import math

import pytest
import torch

from pyro_dcign.cli import main
from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.plans.census import Census, all_chairs
from pyro_dcign.datasets.plans.plan import Planner, rendered
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.errors import InputError
from pyro_dcign.scenes.blueprint import BACK_SHARES, BASE_SHARES, blueprint
from pyro_dcign.scenes.chairs import AZIMUTHS, CHAIRS, Chairs
from pyro_dcign.scenes.scene import Scene, load_scene
from pyro_dcign.scenes.sweeps import KINDS, VERTICES, topology
from pyro_dcign.varying import type_factors

SAMPLE = torch.arange(120)


@pytest.fixture(scope="module")
def chairs():
    return Chairs()


@pytest.fixture(scope="module")
def meshes(chairs):
    return chairs.meshes(SAMPLE)[0]


def shoot(scene, numbers, azimuth=0.0, side=40):
    identity = torch.as_tensor(numbers)
    return scene.render(identity, {"azimuth": torch.full((len(identity),), azimuth)}, side=side)


def test_chairs_are_a_scene_with_one_periodic_factor(chairs):
    assert isinstance(load_scene("chairs"), Scene)
    assert list(chairs.factors) == ["azimuth"]
    limits = chairs.factors["azimuth"]
    assert (limits.high - limits.low, limits.period, len(set(limits.values))) == (360, 360, 31)
    steps = torch.tensor(sorted(limits.values)).diff()
    assert torch.allclose(steps, torch.full((30,), 360 / 31), atol=1e-4)
    assert 0.0 in AZIMUTHS


def test_every_part_has_a_closed_surface():
    """Each edge belongs to two triangles, once in either direction."""
    triangles = topology()
    assert int(triangles.max()) + 1 == VERTICES
    a = torch.cat([triangles[:, k] for k in range(3)])
    b = torch.cat([triangles[:, (k + 1) % 3] for k in range(3)])
    assert torch.equal((a * VERTICES + b).unique(), (b * VERTICES + a).unique())
    assert len((a * VERTICES + b).unique()) == len(a)


def test_every_part_is_the_right_way_out(meshes):
    """The signed volume of each part that is there is positive."""
    corners = (meshes.vertices[:, meshes.triangles[:, k]].double() for k in range(3))
    a, b, c = corners
    volume = (a * torch.linalg.cross(b, c, dim=0)).sum(0) / 6
    start = 0
    for kind in KINDS:
        per = 2 * ((kind.rings - 1) * kind.around + kind.around - 2)
        parts = volume[start : start + per * kind.parts].view(kind.parts, per, -1).sum(1)
        assert parts.min() > -1e-9
        start += per * kind.parts
    assert start == len(meshes.triangles)


def test_triangles_are_small(meshes):
    """As the rasteriser likes them: edges within 0.12 of the frame, all but a few."""
    a, b, c = (meshes.vertices[:, meshes.triangles[:, k]] for k in range(3))
    edge = torch.stack([(p - q).norm(dim=0) for p, q in ((a, b), (b, c), (c, a))])
    assert edge.max() < 0.16
    assert (edge > 0.12).float().mean() < 1e-3


def test_a_chair_fills_the_frame_and_stays_inside(chairs):
    for azimuth in (0.0, 45.0, -120.0):
        dark = shoot(chairs, 2 * SAMPLE[:60] + 1, azimuth, side=60) < 255
        border = dark[:, [0, -1]].any() | dark[:, :, [0, -1]].any()
        assert not border
        tall = dark.any(2).sum(1).float()
        assert tall.min() > 0.6 * 60


def test_the_ground_is_white(chairs):
    image = shoot(chairs, [0, 1])
    assert (image[:, 0] == 255).all()
    assert (image < 255).any()


def test_no_chair_lacks_a_back(meshes):
    """Something stands well above the seat: the top third of each chair holds vertices behind."""
    _, y, z = meshes.vertices
    low, high = y.amin(0), y.amax(0)
    top = y > low + 0.7 * (high - low)
    assert top.any(0).all()
    assert (torch.where(top, z, 0.0).sum(0) / top.sum(0) < 0).all()


def test_every_style_occurs():
    styles = [blueprint(chair).style for chair in range(400)]
    bases, backs, arms = (collections.Counter(column) for column in zip(*styles, strict=True))
    assert set(bases) == set(BASE_SHARES)
    assert set(backs) == {*BACK_SHARES, "shell"}
    assert set(arms) == {"none", "open", "loop", "solid"}
    assert min(*bases.values(), *backs.values()) >= 400 * 0.02


def test_positive_azimuth_turns_the_front_to_the_left(chairs, meshes):
    """The back, which stands high, moves to the picture's right."""
    for azimuth, right in ((60.0, True), (-60.0, False)):
        dark = (shoot(chairs, 2 * SAMPLE[:40], azimuth) < 255).float()
        upper = dark[:, :16].sum(1)
        column = (upper * torch.arange(40)).sum(1) / upper.sum(1)
        assert ((column > 19.5) == right).float().mean() > 0.95


def test_the_identitys_last_bit_is_the_elevation(chairs):
    low, high = shoot(chairs, 2 * SAMPLE[:20]), shoot(chairs, 2 * SAMPLE[:20] + 1)
    assert (low != high).flatten(1).any(1).all()
    plan = Planner(chairs.factors, 0).plan("train", "azimuth", range(20))
    assert (plan.identity == plan.identity[:, :1]).all()


def test_a_picture_does_not_depend_on_its_batch(chairs):
    whole = shoot(chairs, range(30), 33.0, side=30).int()
    for pick in (0, 17, 29):
        alone = shoot(chairs, [pick], 33.0, side=30)[0].int()
        assert (whole[pick] - alone).abs().max() <= 1


def test_chairs_differ(chairs):
    image = shoot(chairs, 2 * SAMPLE).float()
    apart = (image[:, None] - image).abs().mean((2, 3))
    assert apart[~torch.eye(len(image), dtype=torch.bool)].min() > 1


def test_a_chair_is_the_same_on_every_machine():
    plan = blueprint(7)
    assert plan.style == ("legs", "slats", "open")
    total = float(plan.bars.sum() + plan.slabs.sum() + plan.tones.sum())
    assert total == pytest.approx(498.76981704970666, abs=1e-9)


def test_a_census_of_all_chairs_is_the_papers_set():
    recipe = all_chairs()
    assert recipe.identities == {"train": (0, 2414), "test": (2414, 2 * CHAIRS)}
    assert recipe.minibatches == {
        "train": {"azimuth": 2414, "intrinsic": 31 * 121},
        "test": {"azimuth": 300, "intrinsic": 31 * 15},
    }


GRID = {
    "azimuth": FactorRange(0.0, 360.0, tuple(12.0 * k for k in range(30)), 360.0),
    "arms": FactorRange(0.0, 1.0, (0.0, 1.0)),
}


@pytest.mark.parametrize("names", [(), ("azimuth",), ("azimuth", "arms")])
def test_a_census_shows_every_view_and_nothing_else_varies(names):
    factors = {name: GRID[name] for name in names}
    census = Census(factors, 5, size=4, identities={"train": (10, 18), "test": (0, 4)})
    seen = set()

    def cells(names):
        return math.prod(len(GRID[name].values) for name in names)

    for varying, number in census.counts("train").items():
        plan = census.plan("train", varying, range(number))
        for identity, values in zip(plan.identity.tolist(), plan.factors, strict=True):
            assert len(set(identity)) == (4 if varying == "intrinsic" else 1)
            varies = type_factors(varying, factors)
            shown = 1 if varying == "intrinsic" else min(4, cells(varies))
            assert len({tuple(row) for row in values.tolist()}) == shown
            for name, column in zip(factors, values.unbind(-1), strict=True):
                if name not in varies:
                    assert len(column.unique()) == 1
                assert set(column.tolist()) <= set(GRID[name].values)
            if varying == "intrinsic":
                seen |= {(who, *row.tolist()) for who, row in zip(identity, values, strict=True)}
    assert len(seen) == 8 * cells(factors)


def test_training_data_come_straight_from_the_renderer(chairs):
    plans = Census(chairs.factors, 0, identities=all_chairs(chairs=60).identities)
    block = rendered(chairs, plans, "train", "azimuth", [3, 5], side=12)
    assert block.pixels.shape == (2, 20, 12, 12)
    again = rendered(chairs, plans, "train", "azimuth", [5], side=12)
    assert torch.equal(block.factors[1], again.factors[0])
    assert (block.pixels[1].int() - again.pixels[0].int()).abs().max() <= 1


@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "census"])
def test_data_make_chairs_splits_by_chair_and_keeps_its_promises(drawn, tmp_path, monkeypatch):
    if not drawn:  # of three azimuths, to be quick
        grid = FactorRange(-180.0, 180.0, (-120.0, 0.0, 120.0), 360.0)
        monkeypatch.setattr(Chairs, "factors", {"azimuth": grid})
    few = ["--chairs", "20", "--side", "8", "--workers", "1"]
    few += ["--minibatches", "2", "--test", "1"] if drawn else []
    with pytest.raises(SystemExit) as caught:
        main(["data", "make", "chairs", str(tmp_path / "set"), *few])
    assert not caught.value.code
    store = Store.open(tmp_path / "set")
    assert check(store).problems == []
    assert store.types == ("azimuth", "intrinsic")
    assert store.manifest.recipe["plan"] == ("drawn" if drawn else "census")
    wanted = {"azimuth": 2, "intrinsic": 6} if drawn else {"azimuth": 20, "intrinsic": 3}
    assert store.counts("train") == wanted
    chairs = {split: set((store.identities(split) // 2).tolist()) for split in ("train", "test")}
    assert not chairs["train"] & chairs["test"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Chairs().render(torch.tensor([0]), {}, side=8), "azimuth"),
        (lambda: shoot(Chairs(), [0], side=0), "1 or more"),
        (lambda: all_chairs(chairs=5), "20 to"),
        (lambda: Census(GRID, 0, identities={"train": (0, 5), "test": (5, 30)}), "20 or more"),
        (
            lambda: Census({"a": FactorRange(0, 1)}, 0, identities={"train": (0, 30)}),
            "values of a",
        ),
    ],
    ids=["factor", "side", "few", "people", "range"],
)
def test_a_mistake_is_named_in_one_line(call, says):
    with pytest.raises(InputError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
