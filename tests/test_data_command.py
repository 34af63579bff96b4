"""``pyro-dcign data`` as a user meets it: exit statuses, one-line errors, nothing half-written."""

import json

import fake_scene
import pytest
import torch
from PIL import Image

from pyro_dcign import datasets
from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.minibatch import Minibatch
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.datasets.write import write_store
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.varying import standard_types

TYPES = standard_types(Heads.factors)
SMALL = ["--side", "8", "--minibatches", "2", "--test", "1", "--workers", "1"]


@pytest.fixture(autouse=True)
def _fake_faces(monkeypatch):
    monkeypatch.setattr(datasets, "scene_loader", lambda name, device="cpu": fake_scene.load)


@pytest.fixture
def folder(tmp_path, run):
    assert run("data", "make", "faces", tmp_path / "set", *SMALL)[0] == 0
    return tmp_path / "set"


def test_make_says_what_it_made_and_check_finds_it_well(folder, run):
    status, out, err = run("data", "check", folder)
    assert (status, err) == (0, "")
    listed = ", ".join(f"2 {varying}" for varying in TYPES[:-1])
    assert f"minibatches to train: {listed}, 6 intrinsic" in out
    assert "azimuth: -80 to 80" in out
    assert out.endswith("all is well\n")


def test_make_again_keeps_the_same_and_refuses_another(folder, run):
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert run("data", "make", "faces", folder, *SMALL)[0] == 0
    status, _, err = run("data", "make", "faces", folder, *SMALL, "--seed", "1")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_check_prints_one_json_object(folder, run):
    status, out, _ = run("data", "check", folder, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["ok"]
    assert found["minibatches"]["test"] == dict.fromkeys(TYPES, 1)
    held = len(TYPES) - 1  # types that show one identity a minibatch
    assert 100 < found["identities"]["train"] <= 2 * held + 6 * 20  # the same one may come twice
    assert 20 < found["identities"]["test"] <= held + 20


def test_check_of_a_changed_byte_is_status_2(folder, run):
    path = folder / "test-light-00000.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    status, out, err = run("data", "check", folder, "--json")
    assert status == 2
    assert not json.loads(out)["ok"]
    assert "test-light-00000.safetensors" in err
    assert len(err.splitlines()) == 1


def test_show_draws_a_row_for_each_minibatch(folder, run, tmp_path):
    status, out, _ = run("data", "show", folder, "--out", tmp_path / "sheet.png", "--columns", "5")
    assert status == 0
    assert "contact sheet" in out
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size == (5 * (48 + 4) + 4, 2 * len(TYPES) * (48 + 2 * 14 + 8) + 4)


@pytest.mark.parametrize(
    "arguments",
    [
        ["make", "faces", "{}/new", "--side", "7"],
        ["make", "faces", "{}/new", "--side", "5000"],
        ["make", "faces", "{}/new", "--minibatches", "-1"],
        ["make", "faces", "{}/new", "--minibatches", "0", "--test", "0"],
        ["make", "faces", "{}/new", "--minibatches", "99999999999"],
        ["make", "faces", "{}/new", "--seed", "-1"],
        ["make", "faces", "{}/new", "--seed", "99999999999999999999"],
        ["make", "faces", "{}/new", "--workers", "0"],
        ["make", "faces", "{}/new", "--device", "tpu"],
        ["make", "chairs", "{}/new", "--plain"],
        ["make", "cars", "{}/new"],
        ["make", "faces"],
        ["make", "faces", "{}"],
        ["make", "faces", "{}/file/new"],
        ["show", "{}/nowhere"],
        ["show", "{}/set", "--rows", "0"],
        ["show", "{}/set", "--out", "{}/sheet.docx"],
        ["show", "{}/set", "--out", "{}/nowhere/sheet.png"],
        ["check", "{}/nowhere"],
        ["check", "{}/file"],
        ["check", "{}"],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, folder, run, tmp_path):
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run("data", *(argument.format(tmp_path) for argument in arguments))
    assert status == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "scene"), [([], "people"), (["--plain"], "faces")], ids=["varied", "plain"]
)
def test_faces_are_people_unless_plain(options, scene, run, tmp_path, monkeypatch):
    asked = []

    def loader(name, device="cpu"):
        asked.append(name)
        return fake_scene.load

    monkeypatch.setattr(datasets, "scene_loader", loader)
    assert run("data", "make", "faces", tmp_path / "set", *SMALL, *options)[0] == 0
    assert asked == [scene]
    assert json.loads((tmp_path / "set/manifest.json").read_text())["recipe"]["scene"] == scene


FACTORS = {"azimuth": FactorRange(-80.0, 80.0), "arms": FactorRange(0.0, 1.0, (0.0, 1.0))}


def minibatch(varying, seed=0, **change):
    n = 4
    generator = torch.Generator().manual_seed(seed)
    parts = {
        "pixels": torch.randint(256, (n, 5, 5), generator=generator).byte(),
        "azimuth": torch.linspace(-80, 80, n) if varying == "azimuth" else torch.full((n,), 20.0),
        "arms": torch.tensor([0.0, 1, 0, 1]) if varying == "arms" else torch.ones(n),
        "identity": torch.arange(n) if varying == "intrinsic" else torch.full((n,), 9),
        **change,
    }
    factors = {name: parts[name] for name in FACTORS}
    return Minibatch(parts["pixels"], varying, factors, parts["identity"])


def bad(varying, **change):
    return [("train", minibatch(varying)), ("train", minibatch(varying, **change))]


BROKEN = {
    "blank": (bad("arms", pixels=torch.zeros(4, 5, 5).byte()), "a blank image in 1 of 2"),
    "same": (
        bad("arms", pixels=torch.arange(25).reshape(1, 5, 5).expand(4, 5, 5).byte()),
        "the same image throughout",
    ),
    "two vary": (bad("arms", azimuth=torch.linspace(0, 1, 4)), "a azimuth that is not held"),
    "none varies": (bad("azimuth", azimuth=torch.zeros(4)), "a azimuth that does not vary"),
    "NaN": (bad("azimuth", azimuth=torch.full((4,), torch.nan)), "not finite"),
    "beyond": (bad("azimuth", azimuth=torch.linspace(0, 81, 4)), "outside its range"),
    "off the grid": (bad("azimuth", arms=torch.full((4,), 0.5)), "a arms outside its range"),
    "two people": (bad("arms", identity=torch.arange(4)), "more than one identity"),
    "one person": (bad("intrinsic", identity=torch.zeros(4).long()), "only one identity"),
    "leak": (
        [("train", minibatch("arms")), ("test", minibatch("arms", 1))],
        "1 identities are both in train and in test, such as 9",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_finds_each_broken_promise(name, tmp_path):
    pairs, message = BROKEN[name]
    report = check(write_store(tmp_path / "set", pairs, factors=FACTORS, recipe={}))
    assert any(message in problem for problem in report.problems), report.problems
    if name != "leak":
        assert any("first in number 1" in problem for problem in report.problems)


def test_check_is_silent_on_a_sound_store(tmp_path):
    pairs = [("train", minibatch(varying)) for varying in (*FACTORS, "intrinsic")]
    store = write_store(tmp_path / "set", pairs, factors=FACTORS, recipe={})
    assert check(store).problems == []


def test_a_tolerance_forgives_what_it_states(tmp_path):
    held = torch.tensor([20.0, 20.5, 20, 20])
    pairs = [("train", minibatch("arms", azimuth=held))]
    loose = write_store(tmp_path / "a", pairs, factors=FACTORS, recipe={}, tolerance=0.5)
    strict = write_store(tmp_path / "b", pairs, factors=FACTORS, recipe={})
    assert check(loose).problems == []
    assert len(check(strict).problems) == 1


def test_an_unlabelled_store_is_checked_for_its_images(tmp_path):
    unknown = torch.full((4,), torch.nan)
    pairs = [("train", minibatch("arms", azimuth=unknown, arms=unknown))]
    store = write_store(tmp_path / "set", pairs, factors=FACTORS, recipe={}, labelled=False)
    assert check(store).problems == []
    assert not Store.open(tmp_path / "set").manifest.labelled


def test_a_recipe_cannot_write_to_the_terminal(folder, run):
    path = folder / "manifest.json"
    found = json.loads(path.read_text())
    del found["sha256"]
    found["recipe"] = {"imported": "\x1b]0;owned\a" + "x" * 9999, "from": ["\ud800\n\n"]}
    path.write_text(json.dumps(found))
    status, out, _ = run("data", "show", folder)
    assert status == 0
    assert all(line.isprintable() for line in out.splitlines())
    assert max(map(len, out.splitlines())) < 200
