"""The paper's experiments, tiny: the same scripts, rows and figures as at the paper's size."""

import json
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parents[1] / "analyses" / "reproduce"
sys.path.insert(0, str(HERE))

import ablations
import chairs
import elsewhere
import experiment
import faces
import grid
import learning
import records
import tables
from kink import kink

from pyro_dcign.cli import main as command
from pyro_dcign.code import FactorRange
from pyro_dcign.config import configure, settings_of
from pyro_dcign.datasets.store import Store
from pyro_dcign.measures import evaluation as evaluate
from pyro_dcign.runs import build, default_run, load_run
from pyro_dcign.runs.checkpoint import PARAMETERS, newest_checkpoint

TINY = [
    "side=16", "encoder_maps=[4]", "encoder_kernel=3", "decoder_maps=[4,4,1]",
    "decoder_kernels=[3,5]", "latents=6", "precision='float32'", "evaluate_every=2",
]  # fmt: skip
AZIMUTH = FactorRange(-80.0, 80.0)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Run a script on a tiny network and set; what it kept is under ``tmp_path/into``."""
    monkeypatch.chdir(tmp_path)
    # Ten seconds a run, and tested elsewhere.
    nothing = dict.fromkeys(("mig", "dci", "sap", "modularity", "explicitness"))
    monkeypatch.setattr(evaluate, "disentanglement", lambda *_, **__: nothing)

    def run(script, *words):
        sizes = ["--device", "cpu", "--train", "2", "--test", "2", "--steps", "4"]
        places = ["--into", str(tmp_path / "into"), "--work", str(tmp_path / "work")]
        changes = [word for text in TINY for word in ("--set", text)]
        script.main([*sizes, *places, *changes, *words], standalone_mode=False)
        results = tmp_path / "into" / "reproduce" / "results"
        return json.loads(next(results.iterdir()).read_text())

    return run


@pytest.fixture
def undrawn(monkeypatch):
    """No figures, which take most of a tiny run's time."""
    monkeypatch.setattr(experiment.Experiment, "draw", lambda *_: None)


def test_faces_are_trained_measured_drawn_and_packed(tiny, tmp_path) -> None:
    found = tiny(faces, "--seeds", "0,1", "--pack", str(tmp_path / "pack"))
    rows = ["faces-paper", "faces-exchange", "faces-clamp", "faces-entangled", "faces-clamp-even"]
    assert list(found["runs"]) == [f"{row}-seed{seed}" for seed in (0, 1) for row in rows]
    assert found["summary"]["faces-paper"]["seeds"] == [0, 1]
    mse = [found["runs"][f"faces-paper-seed{s}"]["measures"]["mse"]["value"] for s in (0, 1)]
    summary = found["summary"]["faces-paper"]["mse"]
    assert summary["value"] == pytest.approx(sum(mse) / 2, rel=1e-4)
    assert summary["low"] < min(mse) < max(mse) < summary["high"]
    drawn = {path.name for path in (tmp_path / "into" / "reproduce" / "figures").iterdir()}
    assert {"faces-paper-knobs.png", "faces-exchange-edited.png", "faces-kink.png"} <= drawn
    packed = sorted(path.name for path in (tmp_path / "pack").iterdir())
    assert packed == ["faces.tar", "network-faces-exchange.tar", "network-faces-paper.tar"]
    with tarfile.open(tmp_path / "pack" / "network-faces-paper.tar") as archive:
        assert f"networks/faces-paper/{PARAMETERS}" in archive.getnames()
    views, network = tmp_path / "views.png", tmp_path / "into" / "networks" / "faces-paper"
    words = ["--run", str(network), "--azimuth", "-60:60:3", "--out", str(views)]
    with pytest.raises(SystemExit) as caught:
        command(["render", str(HERE.parents[1] / "docs" / "face.png"), *words, "--device", "cpu"])
    assert not caught.value.code
    assert views.is_file()
    card = (tmp_path / "into" / "networks" / "faces-paper" / "MODEL_CARD.md").read_text()
    assert "python analyses/reproduce/faces.py --only faces-paper" in card
    results = tmp_path / "into" / "reproduce" / "results"
    page = tables.filled((HERE.parent / "README.md").read_text(), results)
    assert "| faces-paper | 2 |" in page
    assert "| faces-exchange-seed1 |" in page.split("<!-- table kink -->")[1]
    assert page.count(tables.NOTHING) == 4  # chairs and their calls, ablations, grid


@pytest.mark.usefixtures("undrawn")
def test_what_is_done_is_not_done_again_and_other_settings_are(tiny, monkeypatch) -> None:
    only = ("--only", "faces-paper", "--seeds", "0")
    first = tiny(faces, *only)
    taught = []
    train = experiment.Experiment._train
    monkeypatch.setattr(
        experiment.Experiment, "_train",
        lambda self, row, seed, folder: taught.append(seed) or train(self, row, seed, folder),
    )  # fmt: skip
    again = tiny(faces, *only)
    assert taught == []
    assert again["runs"] == first["runs"]
    tiny(faces, "--only", "faces-paper", "--seeds", "0,1")
    assert taught == [1]


@pytest.mark.usefixtures("undrawn")
def test_a_setting_that_came_later_had_its_default(tiny, tmp_path, monkeypatch) -> None:
    tiny(faces, "--only", "faces-paper", "--seeds", "0")
    for path in tmp_path.rglob("*.json"):
        if path.name in ("faces.json", "results.json"):
            kept = json.loads(path.read_text())
            del kept["runs"]["faces-paper-seed0"]["settings"]["pixel_scale"]
            path.write_text(json.dumps(kept))
    taught = []
    monkeypatch.setattr(
        experiment.Experiment, "_train",
        lambda self, row, seed, folder: taught.append(self.config(row, seed).pixel_scale),
    )  # fmt: skip
    tiny(faces, "--only", "faces-paper", "--seeds", "0")
    assert taught == []
    tiny(faces, "--only", "faces-paper", "--seeds", "0", "--set", "pixel_scale=0.2")
    assert taught == [0.2]


@pytest.mark.usefixtures("undrawn")
def test_out_of_time_a_run_stops_at_a_checkpoint_and_goes_on_from_it(
    tiny, tmp_path, monkeypatch
) -> None:
    only = ("--only", "faces-paper", "--seeds", "0")
    left = iter([1.0, 1.0, -1.0])  # before the row, after two steps, after the last two
    monkeypatch.setattr(experiment.Experiment, "left", lambda self: next(left, -1.0))
    stopped = tiny(faces, *only, "--steps", "6")
    assert stopped["runs"] == {}
    folder = tmp_path / "work" / "faces" / "faces-paper-seed0"
    newest = newest_checkpoint(folder)
    assert newest is not None
    assert newest.name == "step-000000004"
    monkeypatch.setattr(experiment.Experiment, "left", lambda self: 1.0)
    found = tiny(faces, *only, "--steps", "6")
    assert [step for step, _ in found["runs"]["faces-paper-seed0"]["test_elbo"]] == [2, 4, 6]


@pytest.mark.usefixtures("undrawn")
def test_a_row_that_diverges_is_a_finding_and_the_next_is_run(tiny, tmp_path) -> None:
    wild = (
        "--set",
        "learning_rate=0.99",
        "--set",
        "likelihood='normal'",
        "--set",
        "kl_weight=1e38",
    )
    found = tiny(faces, "--only", "faces-paper,faces-entangled", "--seeds", "0", *wild)
    assert ["failed" in run for run in found["runs"].values()] == [True, True]
    assert found["summary"]["faces-paper"]["seeds"] == []
    results = tmp_path / "into" / "reproduce" / "results"
    assert "| faces-paper | failed |" in tables.filled(
        (HERE.parent / "README.md").read_text(), results
    )


def test_chairs_turn_in_every_figure(tiny, tmp_path) -> None:
    found = tiny(chairs, "--seeds", "0", "--only", "chairs-paper,chairs-exchange-two")
    assert found["summary"]["chairs-paper"]["factors"]["azimuth"]["circular_r2"] is not None
    two = found["runs"]["chairs-exchange-two-seed0"]["measures"]["factors"]["azimuth"]
    assert two["latents"] == [0, 1]
    drawn = {path.name for path in (tmp_path / "into" / "reproduce" / "figures").iterdir()}
    assert {f"chairs-paper-{which}.png" for which in ("ten", "good", "bad")} <= drawn
    assert "| chairs-paper | 1 |" in tables.filled(
        (HERE.parent / "README.md").read_text(), tmp_path / "into" / "reproduce" / "results"
    )


@pytest.mark.usefixtures("undrawn")
def test_a_warm_start_begins_with_the_named_network(tiny, monkeypatch, tmp_path) -> None:
    tiny(faces, "--only", "faces-paper", "--seeds", "0")
    shared = load_run(tmp_path / "into" / "networks" / "faces-paper", device="cpu")
    seen = []
    monkeypatch.setattr(
        experiment, "Trainer",
        lambda run, *_, **__: seen.append(run) or pytest.fail("far enough"),
    )  # fmt: skip
    with pytest.raises(pytest.fail.Exception, match="far enough"):
        tiny(grid, "--only", "agreement 10", "--seeds", "0")
    assert not torch.equal(*(next(r.modules.parameters()) for r in (shared, seen[-1])))
    last = next(row for row in grid.ROWS if row.start)
    assert last.start == "faces-paper"
    about = experiment.Options(
        device="cpu", steps=4, train=2, test=2, into=tmp_path / "into", work=tmp_path / "work",
        changes=tomllib.loads("\n".join(TINY)),
    )  # fmt: skip
    warm = experiment.Experiment("grid", [last], faces.faces, about)
    with pytest.raises(pytest.fail.Exception, match="far enough"):
        warm._train(last, 0, tmp_path / "work" / "warm")
    for a, b in zip(shared.modules.parameters(), seen[-1].modules.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("script", [ablations, grid], ids=lambda s: s.__name__)
def test_every_row_is_a_configuration_and_says_what_it_changes(script) -> None:
    names = [row.name for row in script.ROWS]
    assert len(set(names)) == len(names)
    base = settings_of(configure(script.ROWS[0].settings))
    for row in script.ROWS[1:]:
        found = settings_of(configure(row.settings, source=row.name))
        assert found != base or row.start, row.name
        assert (found["side"], found["latents"]) == (150, 200)


@pytest.mark.usefixtures("undrawn")
def test_an_estimate_counts_what_is_left(tiny, capsys) -> None:
    tiny(faces, "--only", "faces-paper", "--seeds", "0")
    capsys.readouterr()
    tiny(faces, "--seeds", "0", "--estimate")
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("done") for line in lines] == [True, *[False] * (len(faces.ROWS) - 1)]


@pytest.mark.parametrize("path", sorted(HERE.glob("*.toml")), ids=lambda p: p.stem)
def test_a_config_names_the_set_that_its_own_comment_plans(path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = path.read_text()
    config = configure(tomllib.loads(text), source=path.name)
    assert config.preset == "paper"
    words = text.split("# pyro-dcign ")[1].split("\npreset")[0].replace("\\\n#", "").split()
    with pytest.raises(SystemExit) as caught:
        command(words)
    assert not caught.value.code
    planned = Store.open(config.data).manifest
    script = chairs if path.name.startswith("chairs") else faces
    used = getattr(script, script.__name__)(experiment.Options(), config.side)
    assert (used.manifest, str(used.folder)) == (planned, config.data)


def test_the_page_is_what_the_results_say() -> None:
    page = (HERE.parent / "README.md").read_text(encoding="utf-8")
    assert tables.filled(page, HERE / "results") == page
    assert {match[1] for match in tables.BLOCK.findall(page)} == set(tables.TABLES)


def test_an_even_code_has_no_kink_and_a_step_is_found_where_it_is() -> None:
    draw = torch.Generator().manual_seed(0)
    angles = torch.rand(4000, generator=draw) * 160 - 80
    identity = torch.arange(4000) // 10
    noise = 0.05 * torch.randn(4000, generator=draw)
    even = kink(angles / -40 + noise, angles, identity, AZIMUTH)
    assert even["jump"]["low"] < 0 < even["jump"]["high"]
    assert even["slope"]["value"] == pytest.approx(1, abs=0.05)
    # a run of 4, a quarter of it at once: 1 of 5
    stepped = kink(angles / 40 + (angles > 0) + noise, angles, identity, AZIMUTH)
    assert stepped["jump"]["value"] == pytest.approx(0.2, abs=0.02)
    assert stepped["jump"]["low"] > stepped["elsewhere"] > 0.02
    flat = kink(angles.sign() * (angles.abs() - 20).clamp_min(0) + noise, angles, identity, AZIMUTH)
    assert flat["slope"]["value"] < 0.2


def test_pictures_from_elsewhere_are_drawn(tmp_path) -> None:
    found = elsewhere.pictures(64)
    assert "Hopper" in found  # Matplotlib brings her
    assert all(pixels.shape == (64, 64) for pixels in found.values())
    out = tmp_path / "elsewhere.png"
    elsewhere.main(["--run", str(default_run()), "--out", str(out), "--device", "cpu"],
                   standalone_mode=False)  # fmt: skip
    assert out.stat().st_size > 10_000


def test_a_paper_size_network_to_share_has_less_than_12_mb(tmp_path) -> None:
    for name in ("faces-paper", "chairs-exchange-two"):
        config = configure(tomllib.loads((HERE / f"{name}.toml").read_text()))
        periods = {"azimuth": FactorRange(-180.0, 180.0, (), 360.0)}
        run = build(tmp_path, config, periods if "chairs" in name else {"azimuth": AZIMUTH})
        halves = sum(2 * p.numel() for p in run.modules.state_dict().values())
        assert halves < 12_000_000


def test_a_late_gain_is_that_of_the_last_fifth() -> None:
    assert learning.late_gain([[10, 0.0], [60, 3.0], [80, 5.0], [90, 9.0], [100, 7.0]]) == 2.0
    assert learning.late_gain([[100, 7.0]]) is None


def test_seconds_add_up_over_a_stop_and_not_over_a_fresh_start(tmp_path) -> None:
    def record(step, seconds):
        return json.dumps({"step": step, "seconds": seconds, "test": {"elbo": -step}})

    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join([record(2, 10.0), record(4, 20.0), '{"step": 5', record(6, 3.0)]))
    assert records.history(path) == ([[2, -2], [4, -4], [6, -6]], 23.0)
    path.write_text("\n".join([record(2, 10.0), record(4, 20.0), record(2, 9.0), record(4, 18.0)]))
    assert records.history(path) == ([[2, -2], [4, -4]], 18.0)
