"""Laws of an import: whatever is blank, merged, doubled or misnamed is named with its row."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from blobs import SMALL, blobs
from PIL import Image
from tiny import environment

from pyro_dcign.cli import main
from pyro_dcign.code import GraphicsCode, name_problem
from pyro_dcign.datasets.readers.bring import bring
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.errors import InputError
from pyro_dcign.runs.run import untrained_run
from pyro_dcign.varying import type_factors


def pictures(folder, *, head=("file", "identity", "azimuth"), change=lambda rows: rows):
    """30 pictures of 6 people at 5 angles with their table."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    rows = []
    for who in range(6):
        for angle in (-40, -20, 0, 20, 40):
            name = f"p{who}_{angle}.png"
            Image.fromarray(draw.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / name)
            rows.append([name, f"P{who}", angle])
    with (folder / "factors.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *change(rows)])
    return folder


def blank_from(rows, text):
    return [[f, text if k >= 15 else who, a] for k, (f, who, a) in enumerate(rows)]


@pytest.mark.parametrize("text", ["", "  ", "nan", "NaN", "<NA>", "NULL"])
def test_a_blank_identity_is_named_with_its_line(tmp_path, text):
    folder = pictures(tmp_path / "in", change=lambda rows: blank_from(rows, text))
    with pytest.raises(InputError, match="line 17"):
        bring("folder", folder, tmp_path / "out", **SMALL)


@pytest.mark.parametrize("name", ["p0_-40.png", "./p0_-40.png"])
def test_a_picture_listed_twice_is_named_with_both_lines(tmp_path, name):
    folder = pictures(tmp_path / "in", change=lambda rows: [*rows, [name, "copy", -40]])
    with pytest.raises(InputError, match="lines 2 and 32"):
        bring("folder", folder, tmp_path / "out", **SMALL)


def test_pictures_in_both_splits_are_said(tmp_path):
    held = blobs()
    held["images"] = np.concatenate([held["images"]] * 2)
    for name in ("factor_x", "factor_y"):
        held[name] = np.concatenate([held[name]] * 2)
    held["identity"] = np.concatenate([held["identity"], held["identity"] + 8])
    np.savez(tmp_path / "a.npz", **held)
    every = SMALL | {"minibatches": 400, "test": 400, "seed": 1}
    store = bring("npz", tmp_path / "a.npz", tmp_path / "out", **every)
    assert any("in train and in test" in note for note in check(store).notes)


def test_a_period_is_declared_in_the_table_in_python_and_at_import(tmp_path, run):
    head = ("file", "identity", "azimuth (period 360)")
    folder = pictures(tmp_path / "in", head=head)
    store = bring("folder", folder, tmp_path / "a", **SMALL)
    assert store.factors["azimuth"].period == 360
    np.savez(tmp_path / "b.npz", **blobs(scales=(180.0, 1.0)))
    words = ["data", "import", "npz", tmp_path / "b.npz", tmp_path / "b", "--test-fraction", 0.25]
    status, out, err = run(*words, "--period", "x=360")
    assert (status, err.count("Error")) == (0, 0)
    limits = Store.open(tmp_path / "b").factors["x"]
    assert (limits.low, limits.high, limits.period) == (-180, 180, 360)
    assert 180 not in limits.values  # it is -180 again
    status, out, err = run("data", "import", "npz", tmp_path / "b.npz", tmp_path / "c", *words[5:])
    assert status == 0
    assert "x looks like a full circle" in out
    assert "--period x=360" in out


@pytest.mark.parametrize("periods", [{"z": 360.0}, {"x": 0.0}, {"x": -1.0}])
def test_a_period_of_nothing_is_refused(tmp_path, periods):
    np.savez(tmp_path / "b.npz", **blobs())
    with pytest.raises(InputError, match="period"):
        bring("npz", tmp_path / "b.npz", tmp_path / "b", **SMALL, periods=periods)


@pytest.fixture
def scattered(tmp_path):
    """Poses that are never twice the same: azimuth in degrees, zoom from 0.5 to 1."""
    draw = np.random.default_rng(0)
    np.savez(
        tmp_path / "s.npz",
        images=draw.integers(0, 256, (480, 8, 8), dtype=np.uint8),
        identity=np.arange(480) % 8,
        factor_azimuth=draw.uniform(-40, 40, 480),
        factor_zoom=draw.uniform(0.5, 1, 480),
    )
    return tmp_path / "s.npz"


def test_a_tolerance_that_holds_nothing_is_refused_with_one_for_each_factor(scattered, tmp_path):
    with pytest.raises(
        InputError, match=r"found 5 for zoom, which spans 0\.49.*azimuth=\d"
    ) as said:
        bring("npz", scattered, tmp_path / "o", **SMALL, tolerance=5)
    assert "raise" not in str(said.value)


def test_each_factor_is_held_within_its_own_tolerance(scattered, tmp_path):
    own = {"azimuth": 20.0, "zoom": 0.1}
    store = bring("npz", scattered, tmp_path / "o", **SMALL, tolerance=own)
    assert Store.open(tmp_path / "o").manifest.tolerance == own
    assert check(store).problems == []
    for minibatch in store.minibatches("train"):
        varies = type_factors(minibatch.varying, own)
        spread = {name: float(np.ptp(minibatch.factors[name].numpy())) for name in own}
        moved = {name for name, within in own.items() if spread[name] > within}
        assert moved <= varies
        assert moved or "intrinsic" in varies


def test_numbers_that_32_bits_cannot_tell_apart_are_named(tmp_path):
    held = blobs()
    held["factor_x"] = 1e8 + np.round(held["factor_x"])
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(InputError, match=r"factor_x .*image \d+ \(from 0\).*offset"):
        bring("npz", tmp_path / "a.npz", tmp_path / "o", **SMALL)


def test_numbers_that_differ_by_rounding_are_one(tmp_path):
    held = blobs()
    held["factor_x"] = np.where(np.arange(len(held["identity"])) % 2, 0.3, 0.1 + 0.2)
    held["factor_x"][::3] = 0.7
    np.savez(tmp_path / "a.npz", **held)
    store = bring("npz", tmp_path / "a.npz", tmp_path / "o", **SMALL, factors=["x", "y"])
    assert len(store.factors["x"].values) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held | {"identity": held["identity"] * 0}, "2 identities or more"),
        (lambda held: {k: v for k, v in held.items() if "factor" not in k}, "one factor or more"),
        (lambda held: held | {"images": held["images"] / 255}, "8-bit unsigned whole numbers"),
        (lambda held: held | {"images": np.asfortranarray(held["images"])}, "ascontiguousarray"),
        (lambda held: held | {"identity": held["identity"].astype(str)}, "number the names"),
        (lambda held: held | {"factor_y": held["factor_y"] * 0}, "leave it out of --factors"),
    ],
)
def test_what_no_minibatch_can_be_made_of_is_refused(tmp_path, change, message):
    np.savez(tmp_path / "a.npz", **change(blobs()))
    with pytest.raises(InputError, match=message) as said:
        bring("npz", tmp_path / "a.npz", tmp_path / "o", **SMALL)
    assert "fetch it again" not in str(said.value)
    assert "--test-fraction" not in str(said.value)


@pytest.mark.parametrize(
    "options", [{"test_fraction": float("nan")}, {"seed": -1}, {"seed": 10**30}]
)
def test_numbers_that_cannot_be_are_refused(tmp_path, options):
    np.savez(tmp_path / "a.npz", **blobs())
    with pytest.raises(InputError):
        bring("npz", tmp_path / "a.npz", tmp_path / "o", **(SMALL | options))


def test_a_share_for_few_identities_is_worked_out(tmp_path):
    np.savez(tmp_path / "a.npz", **blobs(people=4))
    with pytest.raises(InputError, match=r"--test-fraction 0\.25"):
        bring("npz", tmp_path / "a.npz", tmp_path / "o", **(SMALL | {"test_fraction": 0.1}))


TAKEN = ["image", "images", "draw", "draws", "chain", "picture", "type", "half", "pose", "identity"]
TAKEN += ["intrinsic", "items", "x_latent", "true_x", "sample", "training", "log_weight"]


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_is_taken_is_refused_everywhere(tmp_path, name):
    with pytest.raises(ValueError, match="rename it"):
        GraphicsCode({name: 1}, intrinsic=2)
    np.savez(tmp_path / "n.npz", **blobs(names=(name, "y")))
    with pytest.raises(InputError, match="rename it"):
        bring("npz", tmp_path / "n.npz", tmp_path / "o", **SMALL)
    (tmp_path / "config.toml").write_text(f"[factors.{name}]\nlow = 0.0\nhigh = 1.0\n")
    with pytest.raises(InputError, match="no factor can have this name"):
        untrained_run(tmp_path)


def test_usual_names_are_free():
    usual = "azimuth elevation light x y scale shift_x shift_y size zoom rotation shape color time"
    assert [name for name in usual.split() if name_problem(name)] == []


def test_an_empty_name_of_data_renders_nothing(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    status, _, err = run("fit", "--data", "")
    assert status == 2
    assert "--data" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_output_survives_any_terminal(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with pytest.raises(SystemExit):
        main(["--version"])
    sys.stdout.write("|k̂ → R|")
    sys.stdout.flush()
    assert raw.getvalue().endswith(b"|k? ? R|")


def test_the_command_line_takes_oo():
    command = [sys.executable, "-OO", "-m", "pyro_dcign", "fit", "--help"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The optimiser's." in done.stdout
