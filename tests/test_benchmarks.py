"""The benchmarks that a GPU session runs, at a tiny size on a CPU."""

import dataclasses
import importlib
import json
import math
import sys
from pathlib import Path

import pytest
from tiny import TINY

from pyro_dcign.config import PRESETS


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    monkeypatch.setitem(PRESETS, "paper", TINY)
    monkeypatch.setitem(PRESETS, "small", dataclasses.replace(TINY, start="random"))

    def call(name: str, *words: str):
        module = importlib.import_module(name)
        try:
            module.main(["--device", "cpu", *words])
        finally:
            sys.modules.pop(name)
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


def test_pictures_of_a_cpu_are_a_cpus(run) -> None:
    found = run("render_check", "--scenes", "faces:12,chairs:12", "--minibatches", "1")
    for scene in ("faces:12", "chairs:12"):
        assert found[scene]["against_cpu"] == {"largest": 0, "equal": 1, "beyond_one_level": 0}
        assert found[scene]["images_per_second"]["all"] > 0


def test_a_step_of_ours_takes_a_dozen_operations_more_than_one_without_pyro(run) -> None:
    found = run("profile_step", "--preset", "paper", "--json")
    count = {name: sum(n for _, n in part["rows"].values()) for name, part in found.items()}
    # The noise of four factors and its join (one draw on a GPU), the prior's and the plate's
    # constants, and four signs of a Bernoulli's density (none in its kernel).
    assert count["ours"] <= count["PyTorch with our tricks"] + 12


def test_a_sweep_has_a_cell_for_each_side_and_number(run) -> None:
    words = ("--sides", "16,24", "--minibatches", "1,2", "--seconds", "0.01")
    found = run("sweep", *words)["sides"]
    assert {side: list(row) for side, row in found.items()} == {
        s: ["20", "40"] for s in ("16", "24")
    }
    assert all(cell["ms"] > 0 for row in found.values() for cell in row.values())


def test_curves_of_both_precisions_are_compared(run, store) -> None:
    words = ("--data", str(store.folder), "--seeds", "0,1", "--steps", "16")
    rows = run("precision", *words)["rows"]
    assert list(rows) == [str(step) for step in range(2, 17, 2)]
    assert all(math.isfinite(row["bf16"][0]) for row in rows.values())


def test_the_share_of_waiting_is_a_share(run, store) -> None:
    words = ("--data", str(store.folder), "--minibatches", "1", "--steps", "60")
    assert 0 <= run("feeding", *words)["1"]["waiting"] < 1
