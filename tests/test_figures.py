import json

import matplotlib as mpl
import pytest
import torch
from PIL import Image
from toy_run import FULL_CIRCLE, RANGES, toy_run, toy_set

from pyro_dcign.datasets.minibatch import Minibatch
from pyro_dcign.datasets.write import write_store
from pyro_dcign.errors import InputError
from pyro_dcign.measures.calibration import calibrate, write_calibration
from pyro_dcign.measures.figures.of_a_run import (
    editings,
    read_metrics,
    readings,
    sweeps,
    training_curves,
    write_figures,
)
from pyro_dcign.style import degrees


def minibatches(images):
    for i, rows in enumerate(torch.arange(len(images)).split(8)):
        factors = {name: values[rows] for name, values in images.factors.items()}
        varying = tuple(images.factors)[i % len(images.factors)]
        yield Minibatch(images.pixels[rows], varying, factors, images.identity[rows])


def toy_store(folder):
    named = [(split, toy_set(identities=12, seed=s)) for s, split in enumerate(("train", "test"))]
    pairs = [(split, batch) for split, images in named for batch in minibatches(images)]
    return write_store(folder, pairs, factors=RANGES, recipe={})


def record(step, value, elbo=None):
    terms = {"reconstruction": value, "kl": value / 10}
    test = {} if elbo is None else {"elbo": elbo}
    return {
        "step": step,
        "seconds": 1.0,
        "train": {"light": terms, "intrinsic": terms},
        "test": test,
    }


def test_every_figure_of_a_run_is_written(tmp_path):
    store, run = toy_store(tmp_path / "data"), toy_run(tmp_path)
    write_calibration(calibrate(run, toy_set()), tmp_path)
    lines = [json.dumps(record(10 * i, 100.0 - i, -i)) for i in range(1, 30)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    before = dict(mpl.rcParams)
    written = write_figures(run, store)
    assert dict(mpl.rcParams) == before
    names = {path.stem for path in written}
    assert names == {
        "reconstructions",
        "sweep-azimuth",
        "sweep-light",
        "readings",
        "editings",
        "training",
    }
    for path in written:
        with Image.open(path) as picture:
            assert picture.width > 200
            assert len(set(picture.convert("L").tobytes())) > 5
    assert {path.name for path in run.figures.iterdir()} == {path.name for path in written}


def test_an_entangled_run_gets_a_row_of_its_own():
    run, images = toy_run(), toy_set()
    calibration = calibrate(run, images)
    alone = editings(run, calibration, images, examples=2)
    both = editings(run, calibration, images, entangled=(run, calibration), examples=2)
    assert len(alone.axes) == 3 * 2 * 2
    assert len(both.axes) == 4 * 2 * 2


def test_a_full_circle_has_its_figures_too():
    run, images = toy_run(ranges=FULL_CIRCLE), toy_set(ranges=FULL_CIRCLE)
    calibration = calibrate(run, images)
    assert len(readings(run, calibration, images).axes) == 2
    assert len(sweeps(run, calibration, images, "azimuth", people=2).axes) == 2 * 11


def test_metrics_of_a_resumed_run_replace_those_after_its_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    steps = [10, 20, 30, 20, 30, 40]
    path.write_text("\n".join(json.dumps(record(s, 1.0)) for s in steps) + '\n{"step": 5')
    assert [r["step"] for r in read_metrics(path)] == [10, 20, 30, 40]


def test_metrics_that_are_no_records_are_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('[]\n{"step": 1, "train": {}, "test": {}}\n')
    with pytest.raises(InputError, match="training record"):
        read_metrics(path)


def test_no_records_give_no_curves():
    with pytest.raises(InputError, match="1 or more records"):
        training_curves([])


@pytest.mark.parametrize(
    ("value", "label"), [(-60.0, "−60°"), (0.0, "0°"), (-0.01, "0°"), (7.5, "7.5°")]
)
def test_degrees_are_labels(value, label):
    assert degrees(value) == label
