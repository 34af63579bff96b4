"""Laws of a comparison: the same budget for all, and no run disturbs another."""

import csv
import dataclasses
import io
import json

import pytest
import torch
from click.testing import CliRunner
from fake_scene import FakeScene, load

from pyro_dcign.cli import app
from pyro_dcign.config import Config
from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.measures.compare import (
    COLUMNS,
    Size,
    as_csv,
    as_table,
    config_of,
    fit_and_measure,
    measure_run,
    summarise,
)
from pyro_dcign.measures.figures.comparison import comparison
from pyro_dcign.varying import standard_types

TINY = Config(
    side=16,
    encoder_maps=(4, 4),
    encoder_kernel=3,
    decoder_maps=(4, 4, 1),
    decoder_kernels=(3, 5),
    latents=6,
    learning_rate=5e-3,
    steps=20,
    evaluate_every=20,
    checkpoint_every=20,
    device="cpu",
    precision="float32",
)
SMALL = Size(images=4, draws=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    number = counts(standard_types(FakeScene().factors), train=4, intrinsic=8, test=6)
    recipe = Recipe("fake", number, side=16, size=6)
    return make(tmp_path_factory.mktemp("data") / "set", recipe, load, workers=1, quiet=True)


def test_a_run_is_the_same_alone_and_among_others(store, tmp_path) -> None:
    together = fit_and_measure(
        TINY, store, ["flow", "adaptive", "mean_field"], [0, 1], tmp_path / "a", size=SMALL
    )
    alone = fit_and_measure(TINY, store, ["mean_field"], [1], tmp_path / "b", size=SMALL)
    assert [(row["guide"], row["seed"]) for row in together] == [
        (guide, seed) for seed in (0, 1) for guide in ("flow", "adaptive", "mean_field")
    ]
    timeless = [{k: v for k, v in row.items() if k != "ms_a_step"} for row in together]
    assert {k: v for k, v in alone[0].items() if k != "ms_a_step"} == timeless[-1]
    assert [row["supervision"] for row in together[:3]] == ["mean on draws", "its own", "mean"]
    again = fit_and_measure(TINY, store, ["mean_field"], [1], tmp_path / "b", size=SMALL)
    assert again == alone  # to the millisecond: read, not trained anew
    longer = dataclasses.replace(TINY, steps=21)
    assert fit_and_measure(longer, store, ["mean_field"], [1], tmp_path / "b", size=SMALL) != alone

    found = measure_run(tmp_path / "a" / "flow-seed1", None, size=SMALL)
    assert found["elbo"] == together[3]["elbo"]

    summary = summarise(together)
    assert len(summary) == 3
    for row in summary:
        values = [r["elbo"] for r in together if r["guide"] == row["guide"]]
        assert row["elbo"]["value"] == pytest.approx(sum(values) / 2)
        # two values: 12.706 · |a - b| / 2
        half = 12.7062 * abs(values[0] - values[1]) / 2
        assert row["elbo"]["high"] - row["elbo"]["value"] == pytest.approx(half, rel=1e-4)
    assert len(list(csv.DictReader(io.StringIO(as_csv(together))))) == 6
    table = as_table(summary).splitlines()
    assert len(table) == 5
    assert len({line.count("|") for line in table}) == 1
    assert comparison(together, summary).axes
    assert all(bound >= elbo for bound, elbo in ((r["bound"], r["elbo"]) for r in together))


def test_all_guides_get_the_same_settings_but_for_where_a_flow_is_clamped() -> None:
    for guide in ("mean_field", "full_rank", "product_of_experts"):
        assert config_of(TINY, guide, 3) == dataclasses.replace(TINY, guide=guide, seed=3)
    flow = config_of(dataclasses.replace(TINY, handler="mean"), "flow", 3)
    assert (flow.handler, flow.clamp_on) == ("mean", "draw")
    exchanged = dataclasses.replace(TINY, handler="exchange")
    assert config_of(exchanged, "flow", 3) == dataclasses.replace(exchanged, guide="flow", seed=3)
    assert config_of(dataclasses.replace(TINY, handler="none"), "flow", 3).handler == "none"


def test_an_unknown_guide_is_refused_before_anything_is_trained(store, tmp_path) -> None:
    with pytest.raises(InputError, match="got 'nosuch'"):
        fit_and_measure(TINY, store, ["mean_field", "nosuch"], [0], tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_guide_whose_training_fails_is_named_and_left_out(store, tmp_path) -> None:
    diverging = tmp_path / "diverging.py"
    diverging.write_text(
        "from pyro_dcign.guides.mean_field import MeanField\n"
        "class Diverging(MeanField):\n"
        "    def forward(self, images):\n"
        "        self.loc.bias.data.fill_(float('nan'))\n"
        "        super().forward(images)\n"
    )
    said: list[str] = []
    guides = [f"{diverging}:Diverging", "mean_field"]
    rows = fit_and_measure(TINY, store, guides, [0], tmp_path / "a", size=SMALL, say=said.append)
    assert [row["guide"] for row in rows] == ["mean_field"]
    assert any("left out: " in line and "is not at step 1" in line for line in said)
    with pytest.raises(InputError, match="is not at step 1"):
        fit_and_measure(TINY, store, guides[:1], [0], tmp_path / "b", size=SMALL)


def test_one_seed_has_no_interval() -> None:
    row = dict.fromkeys(COLUMNS, 1.0) | {
        "guide": "a", "supervision": "mean", "seed": 0, "steps": 5, "leakage": None
    }  # fmt: skip
    summary = summarise([row])
    assert summary[0]["elbo"] == {"value": 1.0, "low": None, "high": None}
    assert summary[0]["leakage"] is None
    assert "±" not in as_table(summary)
    assert "–" in as_table(summary)


def test_the_command_writes_table_csv_json_and_figure(store, tmp_path, monkeypatch) -> None:
    settings = tmp_path / "tiny.toml"
    text = "\n".join(
        f"{f.name} = {json.dumps(getattr(TINY, f.name))}"
        for f in dataclasses.fields(TINY)
        if f.name not in ("preset", "data")
    )
    settings.write_text(text)
    arguments = ["compare", "--guides", "mean_field,full_rank", "--data", str(store.folder)]
    arguments += ["--config", str(settings), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [row["guide"] for row in found["summary"]] == ["mean_field", "full_rank"]
    names = {p.name for p in (tmp_path / "out").iterdir() if p.is_file()}
    assert names == {f"comparison.{ending}" for ending in ("csv", "json", "md", "png")}
    result = CliRunner().invoke(app, ["compare", str(tmp_path), "--steps", "3"])
    assert result.exit_code == 2
    torch.manual_seed(0)
