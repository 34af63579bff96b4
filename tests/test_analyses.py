"""Every notebook runs from top to bottom on a small run, and is its script."""

import json
import os
import re
from pathlib import Path

import jupytext
import nbclient
import pytest
from fake_scene import FakeScene, load

from pyro_dcign.config import Config
from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.labelled import evaluation_set
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.measures.calibration import calibrate, write_calibration
from pyro_dcign.measures.compare import COLUMNS
from pyro_dcign.runs.run import build, write_run_config
from pyro_dcign.training.train import Trainer
from pyro_dcign.varying import standard_types

FOLDER = Path(__file__).parents[1] / "analyses"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
TOGETHER = 2_500_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analyses")
    number = counts(standard_types(FakeScene().factors), train=4, intrinsic=8, test=6)
    store = make(
        folder / "set", Recipe("fake", number, side=16, size=6), load, workers=1, quiet=True
    )
    config = Config(
        data=str(store.folder), side=16, encoder_maps=(4, 4), encoder_kernel=3,
        decoder_maps=(4, 4, 1), decoder_kernels=(3, 5), latents=6, learning_rate=5e-3,
        steps=40, evaluate_every=20, checkpoint_every=20, device="cpu", precision="float32",
        likelihood="normal",
    )  # fmt: skip
    made = build(folder / "run", config, store.factors)
    write_run_config(made)
    for _ in Trainer(made, store).records():
        pass
    write_calibration(calibrate(made, evaluation_set(store, "train")), made.folder)
    return made.folder


def test_every_script_has_its_notebook() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == NOTEBOOKS
    assert NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_the_cells_of_its_script(name) -> None:
    notebook, script = (jupytext.read(FOLDER / f"{name}.{ending}") for ending in ("ipynb", "py"))
    cells = [[(c.cell_type, c.source) for c in book.cells] for book in (notebook, script)]
    assert cells[0] == cells[1]


def test_notebooks_are_small_and_name_no_machine() -> None:
    texts = [(FOLDER / f"{name}.ipynb").read_text(encoding="utf-8") for name in NOTEBOOKS]
    assert sum(map(len, texts)) < TOGETHER
    assert not [text for text in texts if re.search(r"/(home|tmp|root|Users)/", text)]


def executed(name, run, monkeypatch, comparison):
    pytest.importorskip("ipykernel")
    notebook = jupytext.read(FOLDER / f"{name}.py")
    for variable in ("IMAGE", "ENTANGLED"):
        monkeypatch.delenv(f"PYRO_DCIGN_{variable}", raising=False)
    monkeypatch.setenv("PYRO_DCIGN_RUN", str(run))
    monkeypatch.setenv("PYRO_DCIGN_SMALL", "1")
    monkeypatch.setenv("PYRO_DCIGN_COMPARISON", str(comparison))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = str(FOLDER.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    resources = {"metadata": {"path": str(run.parent)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    return [
        data for c in notebook.cells for o in c.get("outputs", []) for data in [o.get("data", {})]
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_on_a_small_run(name, run, monkeypatch) -> None:
    shown = executed(name, run, monkeypatch, run.parent / "nosuch.json")
    assert any("image/png" in data for data in shown)


def test_a_comparison_that_was_made_is_read_and_not_made_again(run, monkeypatch, tmp_path) -> None:
    row = dict.fromkeys(COLUMNS, 1.0) | {"supervision": "mean", "steps": 5}
    rows = [
        row | {"guide": guide, "seed": seed} for guide in ("mean_field", "mine") for seed in (0, 1)
    ]
    (tmp_path / "comparison.json").write_text(json.dumps({"summary": [], "runs": rows}))
    shown = executed("what_a_guide_buys", run, monkeypatch, tmp_path / "comparison.json")
    tables = [data["text/markdown"] for data in shown if "text/markdown" in data]
    assert "| mine | mean | 2 |" in tables[0]
