"""Laws of a run from a stranger: reading it runs no code, unless its user has named that code."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from test_checkpoint import Mark
from tiny import TINY, trained

from pyro_dcign.cli import main
from pyro_dcign.errors import InputError
from pyro_dcign.measures.compare import measure_run
from pyro_dcign.measures.reporting import report
from pyro_dcign.runs.run import untrained_run, write_run_config

GUIDE = """
from pathlib import Path
from pyro_dcign.guides.mean_field import MeanField
(Path(__file__).parent / "mark").mkdir(exist_ok=True)
class Evil(MeanField):
    pass
"""


@pytest.fixture
def theirs(store, tmp_path):
    """A run that a stranger trained with a guide of their own, which leaves a mark when loaded."""
    (tmp_path / "evil.py").write_text(GUIDE)
    config = dataclasses.replace(
        TINY, guide=f"{tmp_path}/evil.py:Evil", data=str(store.folder), preset="small"
    )
    run = trained(tmp_path / "run", store, config)
    write_run_config(run)
    report(run, store)
    (tmp_path / "mark").rmdir()
    # a module that was loaded once is not loaded again: forget it
    import sys

    for name in [name for name in sys.modules if "file_evil" in name]:
        del sys.modules[name]
    return run


def status(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


def commands(run: Path, store) -> list[list[object]]:
    return [
        ["evaluate", run],
        ["check", run],
        ["compare", run, "--out", run.parent / "table"],
        ["render", Path(__file__).parent.parent / "docs" / "face.png", "--run", run, "--grey"],
        ["fit", "--resume", run, "--steps", "44", "--no-report"],
    ]


@pytest.mark.parametrize("number", range(5), ids=["evaluate", "check", "compare", "render", "fit"])
def test_a_strangers_guide_is_not_loaded_by_any_command(
    number, theirs, store, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = commands(theirs.folder, store)[number]
    assert status(*words) == 2
    *_, line = capsys.readouterr().err.strip().split("\n")
    assert "is to use an installed guide, but names the code" in line
    assert f"--guide {theirs.config.guide}" in line
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("number", [0, 3, 4], ids=["evaluate", "render", "fit"])
def test_a_guide_that_its_user_names_is_loaded(
    number, theirs, store, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = commands(theirs.folder, store)[number]
    assert status(*words, "--guide", theirs.config.guide) == 0
    assert (tmp_path / "mark").exists()


def test_a_notebook_loads_no_strangers_guide_either(theirs, tmp_path) -> None:
    for look in (untrained_run, lambda folder: measure_run(folder, None)):
        with pytest.raises(InputError, match="names the code"):
            look(theirs.folder)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("place", ["run", "config", "evaluate", "data"])
def test_a_saved_module_or_parameter_store_is_never_unpickled(
    place, store, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "mark"
    pickled = tmp_path / "run.pt"
    torch.save({"params": Mark(mark)}, pickled)
    torch.load(pickled, weights_only=False)  # the payload works
    mark.rmdir()
    run = trained(tmp_path / "run", store, dataclasses.replace(TINY, preset="small"))
    write_run_config(run)
    words = {
        "run": ["evaluate", pickled],
        "config": ["fit", "--config", pickled, "--out", "new"],
        "evaluate": ["evaluate", run.folder, "--data", pickled],
        "data": ["fit", "--data", pickled, "--out", "new"],
    }[place]
    assert status(*words) == 2
    assert not mark.exists()
    assert not (tmp_path / "new").exists()


def test_a_config_that_names_other_places_reads_nothing_there(store, tmp_path, capsys) -> None:
    run = trained(tmp_path / "run", store, dataclasses.replace(TINY, preset="small"))
    write_run_config(dataclasses.replace(run, config=dataclasses.replace(TINY, data="/etc")))
    before = sorted(tmp_path.rglob("*"))
    assert status("evaluate", run.folder) == 2
    assert "expected manifest.json in /etc" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize(
    "line",
    [
        "low = 1" + "0" * 400,
        "low = nan",
        "low = 200.0",
        "period = -1.0",
        "period = 0",
        "low = '1'",
        "colour = 1.0",
        "values = 3",
    ],
    ids=lambda line: line[:14],
)
def test_a_config_with_an_absurd_range_is_refused_in_one_line(
    line, store, tmp_path, capsys
) -> None:
    run = trained(tmp_path / "run", store, dataclasses.replace(TINY, preset="small"))
    write_run_config(run)
    path = run.folder / "config.toml"
    lines = [
        x for x in path.read_text().split("\n") if not x.startswith(line.partition(" ")[0] + " =")
    ]
    lines.insert(lines.index("[factors.azimuth]") + 1, line)
    path.write_text("\n".join(lines))
    assert status("evaluate", run.folder) == 2
    assert "is to be a run's config" in capsys.readouterr().err
