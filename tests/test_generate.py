"""Generation: one seed, any number of workers, the same bytes; nothing half-written."""

import functools
import json
import weakref

import fake_scene
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.generate import ensure, make
from pyro_dcign.datasets.plans.plan import IDENTITIES, Planner, render
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import Writer, partial_folder
from pyro_dcign.errors import InputError

FACTORS = fake_scene.FakeScene().factors
TYPES = (*FACTORS, "intrinsic")
RECIPE = Recipe("fake", counts(TYPES, train=5, intrinsic=70, test=2), side=8, seed=3)
load = functools.partial(fake_scene.load)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**64 - 1),
    split=st.sampled_from(["train", "test"]),
    varying=st.sampled_from(TYPES),
    indices=st.lists(st.integers(0, 2**40), min_size=1, max_size=3),
)
def test_only_one_factor_varies_within_range_and_split(seed, split, varying, indices):
    plan = Planner(FACTORS, seed).plan(split, varying, indices)
    first, end = IDENTITIES[split]
    assert ((plan.identity >= first) & (plan.identity < end)).all()
    assert plan.identity.shape == (len(indices), 20)
    for identity, factors in zip(plan.identity, plan.factors, strict=True):
        assert len(identity.unique()) == (20 if varying == "intrinsic" else 1)
        for column, (name, limits) in zip(factors.unbind(-1), FACTORS.items(), strict=True):
            assert (len(column.unique()) > 1) == (name == varying)
            assert limits.low <= column.min()
            assert column.max() <= limits.high


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**64 - 1),
    indices=st.lists(st.integers(0, 999), min_size=1, max_size=5, unique=True),
)
def test_a_minibatch_depends_on_its_number_alone(seed, indices):
    whole = Planner(FACTORS, seed).plan("train", "light", indices)
    for row, index in enumerate(indices):
        alone = Planner(FACTORS, seed).plan("train", "light", [index])
        assert torch.equal(alone.factors[0], whole.factors[row])
        assert torch.equal(alone.identity[0], whole.identity[row])


def test_other_seeds_splits_types_and_numbers_give_other_scenes():
    plans = [
        Planner(FACTORS, seed).plan(split, varying, [index])
        for seed in (0, 1)
        for split in ("train", "test")
        for varying in ("azimuth", "light")
        for index in (0, 1)
    ]
    bases = {tuple(plan.factors[0, :, 1].tolist()) for plan in plans}
    assert len(bases) == 16


def test_draws_are_uniform_over_the_range():
    """Mean and extent of 20,000 draws within 5 standard errors (false alarm below 1e-6)."""
    plan = Planner(FACTORS, 0).plan("train", "azimuth", range(1000))
    azimuth = plan.factors[..., 0].double()
    assert abs(azimuth.mean()) < 5 * 160 / (12 * 20_000) ** 0.5
    assert azimuth.min() < -79.8
    assert azimuth.max() > 79.8


def test_a_grid_shows_each_value_before_any_twice():
    grid = FactorRange(0.0, 360.0, tuple(12.0 * k for k in range(30)), 360.0)
    plan = Planner({"azimuth": grid}, 0).plan("train", "azimuth", range(5))
    for row in plan.factors[..., 0]:
        assert len(row.unique()) == 20
        assert set(row.tolist()) <= set(grid.values)
    small = FactorRange(0.0, 1.0, (0.0, 1.0))
    column = Planner({"arms": small}, 0, size=6).plan("test", "arms", [0]).factors[0, :, 0]
    assert sorted(column.tolist()) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"identities": {"train": (0, 30), "test": (29, 60)}}, "different identities"),
        ({"identities": {"train": (0, 30), "test": (30, 49)}}, "20 or more identities"),
    ],
)
def test_impossible_plans_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Planner(FACTORS, **{"seed": 0, **change})


def test_a_plan_renders_to_its_own_factors():
    plan = Planner(FACTORS, 0).plan("train", "light", [4, 7])
    block = render(fake_scene.FakeScene(), plan, side=8)
    assert block.pixels.shape == (2, 20, 8, 8)
    shown = block.pixels[:, :, 0, :3].float() - 100
    assert torch.equal(shown, plan.factors.round())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    make(folder, RECIPE, load, workers=1, quiet=True)
    return folder


def test_the_number_of_workers_does_not_change_a_byte(made, tmp_path):
    make(tmp_path / "set", RECIPE, load, workers=2, quiet=True)
    assert bytes_of(tmp_path / "set") == bytes_of(made)


def test_a_made_store_holds_what_was_asked(made):
    store = Store.open(made)
    assert {split: store.counts(split) for split in ("train", "test")} == RECIPE.minibatches
    assert (store.side, store.size, store.types) == (8, 20, TYPES)
    planner = Planner(FACTORS, RECIPE.seed)
    for minibatch, index in ((store.minibatch("train", "intrinsic", i), i) for i in (0, 63, 69)):
        plan = planner.plan("train", "intrinsic", [index])
        assert torch.equal(minibatch.identity, plan.identity[0])
        assert torch.equal(torch.stack([*minibatch.factors.values()], -1), plan.factors[0])


def test_interrupted_work_goes_on_where_it_stopped(made, tmp_path):
    folder = tmp_path / "set"
    with pytest.raises(RuntimeError, match="told to"):
        make(folder, RECIPE, functools.partial(fake_scene.load, 15), workers=1, quiet=True)
    assert not folder.exists()
    kept = sorted(path.name for path in partial_folder(folder).glob("*.safetensors"))
    assert kept  # shards rendered before the break
    damaged = partial_folder(folder) / kept[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])  # this one is to be rendered again
    scenes = []

    def spy():
        scenes.append(fake_scene.FakeScene())
        return scenes[-1]

    make(folder, RECIPE, spy, workers=1, quiet=True)
    assert scenes[0].calls < 28  # of 28 chunks in all
    assert bytes_of(folder) == bytes_of(made)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_shard_that_changed_while_work_was_interrupted_is_rendered_again(made, tmp_path):
    folder = tmp_path / "set"
    with pytest.raises(RuntimeError):
        make(folder, RECIPE, functools.partial(fake_scene.load, 15), workers=1, quiet=True)
    path = sorted(partial_folder(folder).glob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a pixel: its header and its size are sound
    path.write_bytes(content)
    make(folder, RECIPE, load, workers=1, quiet=True)
    assert (folder / path.name).read_bytes() == (made / path.name).read_bytes()


def test_shards_of_another_recipe_are_not_reused(made, tmp_path):
    folder = tmp_path / "set"
    other = Recipe("fake", RECIPE.minibatches, side=8, seed=4)
    with pytest.raises(RuntimeError):
        make(folder, other, functools.partial(fake_scene.load, 15), workers=1, quiet=True)
    make(folder, RECIPE, load, workers=1, quiet=True)
    assert bytes_of(folder) == bytes_of(made)


def test_a_first_chunk_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        make(tmp_path / "set", RECIPE, functools.partial(fake_scene.load, 0), workers=1, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_a_worker_reaches_the_caller(tmp_path):
    with pytest.raises(RuntimeError, match="told to"):
        make(tmp_path / "set", RECIPE, functools.partial(fake_scene.load, 0), workers=2, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_folder_exclude_each_other(tmp_path):
    options = {"side": 8, "size": 20, "factors": FACTORS, "recipe": {}, "resume": True}
    with (
        pytest.raises(InputError, match="found none"),
        Writer(tmp_path / "set", **options),
        pytest.raises(InputError, match="another process"),
        Writer(tmp_path / "set", **options),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_ensure_makes_once_and_refuses_another_recipe(tmp_path):
    recipe = Recipe("fake", counts(TYPES, train=1, intrinsic=1, test=1), side=8)
    ensure(tmp_path / "set", recipe, load, workers=1, quiet=True)
    before = bytes_of(tmp_path / "set")
    broken = functools.partial(fake_scene.load, 0)
    assert ensure(tmp_path / "set", recipe, broken, quiet=True).count("test", "light") == 1
    other = Recipe("fake", recipe.minibatches, side=8, seed=1)
    with pytest.raises(InputError, match="with seed 1, found 0"):
        ensure(tmp_path / "set", other, load, quiet=True)
    assert bytes_of(tmp_path / "set") == before


@pytest.mark.parametrize(
    ("minibatches", "message"),
    [
        ({"train": {"posture": 1}, "test": {}}, "expected counts"),
        ({"train": {"light+azimuth": 1}, "test": {}}, "expected counts"),
        ({"train": {"light": -1}, "test": {}}, "expected counts"),
        ({"train": {}, "test": {"light": 0}}, "1 or more minibatches"),
    ],
)
def test_impossible_counts_are_refused_and_leave_nothing(minibatches, message, tmp_path):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "set", Recipe("fake", minibatches, side=8), load, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_plain_lines_off_a_terminal(tmp_path, capsys):
    recipe = Recipe("fake", counts(TYPES, train=1, intrinsic=1, test=1), side=8)
    make(tmp_path / "set", recipe, load, workers=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["rendering fake at 8 pixels, 1 at a time", "160 images in 0 s"]


def test_an_intrinsic_minibatch_shows_nobody_twice():
    identities = {"train": (100, 120), "test": (0, 20)}
    plan = Planner(FACTORS, 0, identities=identities).plan("train", "intrinsic", [0, 1])
    for row in plan.identity:
        assert sorted(row.tolist()) == list(range(100, 120))
    assert not torch.equal(plan.identity[0], plan.identity[1])


def test_a_seed_shows_the_same_scenes_on_every_machine():
    """Pinned: a store holds seeds' worth of meaning only while these numbers stay."""
    plan = Planner(FACTORS, 7).plan("test", "light", [5])
    assert plan.identity[0].tolist() == [1074053300] * 20
    first = torch.tensor(
        [[-5.4402184, -26.2638702, -7.5801191], [-5.4402184, -26.2638702, 24.6325836]]
    )
    assert torch.allclose(plan.factors[0, :2], first, rtol=1e-6)


@pytest.mark.usefixtures("two_threads")
def test_rendering_alone_gives_back_the_threads(tmp_path):
    recipe = Recipe("fake", counts(TYPES, train=1, intrinsic=1, test=1), side=8)
    make(tmp_path / "set", recipe, load, workers=1, quiet=True)
    assert torch.get_num_threads() == 2


def test_a_shard_is_let_go_before_the_next_is_gathered(tmp_path, monkeypatch):
    shards, held = [], []
    write = Writer.shard

    def spy(writer, split, varying, number, block):
        shards.append(weakref.ref(block.pixels))
        write(writer, split, varying, number, block)

    class Watched(fake_scene.FakeScene):
        def render(self, *arguments, **options):
            held.append(sum(shard() is not None for shard in shards))
            return super().render(*arguments, **options)

    monkeypatch.setattr(Writer, "shard", spy)
    make(tmp_path / "set", RECIPE, Watched, workers=1, quiet=True)
    assert len(shards) > 2
    assert set(held) == {0}


def test_a_set_made_before_plans_and_models_had_names_is_still_used(tmp_path):
    recipe = Recipe("fake", counts(TYPES, train=1, intrinsic=1, test=1), side=8)
    make(tmp_path / "set", recipe, load, workers=1, quiet=True)
    manifest = tmp_path / "set" / "manifest.json"
    old = json.loads(manifest.read_text())
    del old["sha256"]
    for key in ("plan", "model", "device"):
        del old["recipe"][key]
    manifest.write_text(json.dumps(old))
    broken = functools.partial(fake_scene.load, 0)
    assert ensure(tmp_path / "set", recipe, broken, quiet=True).count("test", "light") == 1
