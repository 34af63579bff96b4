"""The commands evaluate and render on a small untrained run."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from test_figures import toy_store
from toy_run import SIDE, toy_set

from pyro_dcign.cli import main
from pyro_dcign.config import PRESETS
from pyro_dcign.runs.checkpoint import save_checkpoint
from pyro_dcign.runs.run import build, write_run_config
from pyro_dcign.training.optimizers import adam
from pyro_dcign.training.resume import random_state


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    store = toy_store(folder / "data")
    config = dataclasses.replace(
        PRESETS["small"],
        data=str(folder / "data"),
        side=SIDE,
        encoder_maps=(4, 4),
        decoder_maps=(4, 4, 1),
        decoder_kernels=(5, 5),
        latents=6,
        device="cpu",
    )
    run = build(folder / "run", config, store.factors)
    write_run_config(run)
    random = random_state(run.device)
    save_checkpoint(run, adam(run.modules.parameters()), {"step": 0}, random=random)
    Image.fromarray(toy_set().pixels[0].numpy()).save(folder / "face.png")
    Image.new("RGB", (40, 30), (200, 40, 40)).save(folder / "red.jpg")
    return folder


@pytest.fixture
def call(home, monkeypatch, capsys):
    monkeypatch.chdir(home)

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        return stopped.value.code, *capsys.readouterr()

    return run


def refused(answer):
    code, out, err = answer
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err


def test_evaluate_json_is_one_object_with_the_agreed_keys(call):
    code, out, err = call("evaluate", "run", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert {"mse", "swap_mse", "active_units", "elbo", "factors", "mig", "dci", "sap"} <= set(found)
    wanted = {"spearman", "leakage", "rerender_mse", "rerender_ratio", "no_edit_mse"}
    assert wanted <= set(found["factors"]["azimuth"])
    assert set(found["mse"]) == {"value", "low", "high"}


def test_evaluate_prints_a_table(call):
    code, out, err = call("evaluate", "run")
    assert (code, err) == (0, "")
    assert "rank correlation" in out


def test_evaluate_takes_a_file_of_images_of_another_size(call, home):
    images = toy_set(seed=2, identities=6)
    pixels = images.pixels.repeat_interleave(2, 1).repeat_interleave(2, 2).numpy()
    factors = {f"factor_{name}": values.numpy() for name, values in images.factors.items()}
    np.savez(home / "plain.npz", images=pixels, identity=images.identity.numpy(), **factors)
    code, out, err = call("evaluate", "run", "--data", "plain.npz", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["images"] == len(images)
    assert found["swap_mse"]["low"] <= found["swap_mse"]["value"] <= found["swap_mse"]["high"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "nowhere"),
        ("evaluate", "run", "--data", "nowhere"),
        ("evaluate", "run", "--data", "face.png"),
        ("render", "nowhere.png", "--run", "run"),
        ("render", "face.png", "--run", "nowhere"),
        ("render", "face.png", "--run", "run", "--azimuth", "-90:0:3"),
        ("render", "face.png", "--run", "run", "--azimuth", "left"),
        ("render", "face.png", "--run", "run", "--elevation", "0:10:3"),
        ("render", "face.png", "--run", "run", "--set", "hue=1"),
        ("render", "face.png", "--run", "run", "--out", "x.svg"),
        ("render", "face.png", "--run", "run", "--out", "nowhere/x.png"),
        ("render", "red.jpg", "--run", "run"),
    ],
)
def test_bad_input_is_one_line_and_status_2(call, home, arguments):
    before = {path.name for path in home.iterdir()}
    refused(call(*arguments))
    assert {path.name for path in home.iterdir()} == before


def test_a_run_whose_data_are_gone_asks_for_them(call, home):
    (home / "data").rename(home / "moved")
    try:
        assert "--data" in refused(call("evaluate", "run"))
    finally:
        (home / "moved").rename(home / "data")


def test_render_writes_a_strip(call, home):
    code, out, err = call("render", "face.png", "--run", "run", "--azimuth", "-60:60:5")
    assert (code, out.splitlines()[-1], err) == (0, "face-views.png", "")
    assert "read azimuth" in out
    with Image.open(home / "face-views.png") as found:
        assert found.width > 7 * 128


def test_render_reads_colours_as_grey_when_told_to_and_writes_a_gif(call, home):
    arguments = ("--set", "light=-40:40:4", "--azimuth", "0,10", "--out", "red.gif", "--grey")
    code, out, err = call("render", "red.jpg", "--run", "run", *arguments)
    assert (code, out.splitlines()[-1], err) == (0, "red.gif", "")
    with Image.open(home / "red.gif") as found:
        assert found.n_frames == 6 + 2
