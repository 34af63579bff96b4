"""``fit`` at the terminal: bad input is one line and exit status 2, with nothing left behind."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fake_scene import FakeScene, load

from pyro_dcign.cli import main
from pyro_dcign.cli.fit import _data, default_preset
from pyro_dcign.config import PRESETS, Config, configure
from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.errors import InputError
from pyro_dcign.varying import standard_types

NETWORK = "--side 16 --encoder-kernel 3 --encoder-maps 4,4 --decoder-maps 4,4,1 "
NETWORK += "--decoder-kernels 3,5 --latents 6 --device cpu --steps 20"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    number = counts(standard_types(FakeScene().factors), train=2, intrinsic=3, test=2)
    folder = tmp_path_factory.mktemp("data") / "set"
    make(folder, Recipe("fake", number, side=16, size=6), load, workers=1, quiet=True)
    return folder


def status(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


def fit(data: Path, *words: str) -> int:
    return status("fit", "--data", str(data), *NETWORK.split(), "--no-report", *words)


def test_fit_leaves_a_run_directory_that_resumes(data, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    assert fit(data, "--out", str(run)) == 0
    left = {"config.toml", "metrics.jsonl", "checkpoints", "trained_on.safetensors", ".lock"}
    assert {p.name for p in run.iterdir()} == left
    assert status("fit", "--resume", str(run), "--steps", "30", "--no-report") == 0
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 30
    assert "30 of 30 steps" in capsys.readouterr().err


def test_resuming_with_other_settings_names_them(data, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    assert fit(data, "--out", str(run)) == 0
    capsys.readouterr()
    assert status("fit", "--resume", str(run), "--seed", "3", "--handler", "none") == 2
    assert "seed 0, not 3" in (error := capsys.readouterr().err)
    assert "handler 'exchange', not 'none'" in error


def corrupt(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    shard = next(to.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-9])
    return to


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "nowhere"], "expected a data folder at nowhere"),
        (["--data", "corrupt"], "safetensors"),
        (["--guide", "mean_feild"], "guide is one of mean_field"),
        (["--guide", "nothing.py:Guide"], "nothing.py does not exist"),
        (["--steps", "-5"], "steps: expected 1 or more, got -5"),
        (["--side", "24"], "side is 24, but the images"),
        (["--latents", "3"], "latents is to exceed the 3 of"),
        (["--ratio", "1:2:3"], "expected a ratio such as 1:1:1:10"),
        (["--encoder-maps", "4,four"], "expected numbers between commas"),
        (["--config", "missing.toml"], "missing.toml is to be a config file"),
        (["--config", "bad.toml"], "decay: expected float, got 'fast'; speed: no such setting"),
        (["--out", "taken"], "new or empty folder"),
        (["--out", "taken/file/run"], "expected to read or write"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words, says, data, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corrupt(data, tmp_path / "corrupt")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("mine")
    (tmp_path / "bad.toml").write_text('decay = "fast"\nspeed = 9\n')
    before = sorted(tmp_path.rglob("*"))
    assert fit(data, *(["--out", "run"] if "--out" not in words else []), *words) == 2
    *_, line = capsys.readouterr().err.strip().split("\n")
    assert line.startswith("Error: ")
    assert says in line
    assert sorted(tmp_path.rglob("*")) == before


def test_config_file_and_flags_give_one_configuration(tmp_path) -> None:
    config = configure({"preset": "torch7", "steps": 7, "encoder_maps": [3, 4]})
    wanted = dataclasses.replace(PRESETS["torch7"], steps=7, encoder_maps=(3, 4))
    assert config == wanted


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_itself_a_valid_configuration(preset) -> None:
    from pyro_dcign.config import settings_of

    assert configure(settings_of(PRESETS[preset])) == PRESETS[preset]
    assert PRESETS[preset].preset == preset


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("paper", {"handler": "mean", "strength": 0.01, "ratio": "1:10", "learning_rate": 5e-4}),
        ("torch7", {"handler": "first", "strength": 0.0, "encoder_maps": (96, 48, 24)}),
    ],
)
def test_presets_are_what_the_paper_and_its_code_say(preset, wanted) -> None:
    assert {key: getattr(PRESETS[preset], key) for key in wanted} == wanted
    assert PRESETS[preset].side == 150
    assert PRESETS[preset].latents == 200
    assert PRESETS[preset].decay == 0


@pytest.mark.parametrize(
    ("gpu", "device", "wanted"),
    [
        (None, "auto", "small"),
        (80e9, "auto", "large"),
        (80e9, "cpu", "small"),
        (8e9, "auto", "small"),
    ],
)
def test_without_a_preset_a_gpu_trains_the_large_one(monkeypatch, gpu, device, wanted) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, gpu))
    assert default_preset(device) == wanted


def test_without_data_a_gpu_plans_as_many_images_as_the_paper_has(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = _data(PRESETS["large"], "cuda")
    assert {store.count("train", varying) for varying in store.types} == {3000}
    assert sum(path.stat().st_size for path in store.folder.iterdir()) < 1e5  # no image


def test_settings_to_mend_are_all_named_at_once() -> None:
    with pytest.raises(InputError, match=r"steps: expected int.*handler: expected one.*x: no such"):
        configure({"steps": 2.5, "handler": "middle", "x": 1})


def test_every_setting_is_documented() -> None:
    for field in dataclasses.fields(Config):
        assert f"        {field.name}: " in (Config.__doc__ or "")


def test_help_does_not_load_torch() -> None:
    code = "import sys; from pyro_dcign.cli import main\ntry: main(['--help'])\n"
    code += "finally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fit" in done.stdout


def test_doctor_says_what_would_be_used(capsys) -> None:
    assert status("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["would_use"]["preset"] in PRESETS
    assert found["guides"]["mean_field"].endswith(":MeanField")
