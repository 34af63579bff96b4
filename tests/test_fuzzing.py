"""No file makes a reader fail otherwise than in one line, or take more memory than is promised."""

import hashlib
import json
import os
import sys
from importlib import import_module

import foreign
import fuzzing
import numpy as np
import pytest
import torch
from fuzzing import in_json, in_mat, in_png, in_safetensors, in_text, in_zip
from PIL import Image
from safetensors.torch import save_file
from test_morphable import write_2009, write_2017, write_ict
from test_store import FACTORS, made
from tiny import TINY
from toy_run import toy_run

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.labelled import read_npz
from pyro_dcign.datasets.readers import KINDS, mpi3d
from pyro_dcign.datasets.readers.bring import _MODULES, _range
from pyro_dcign.datasets.readers.forming import form, labels
from pyro_dcign.datasets.readers.torch7 import _pixels
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.datasets.write import write_store
from pyro_dcign.errors import InputError
from pyro_dcign.files.picture import read_picture
from pyro_dcign.images import resized
from pyro_dcign.measures.calibration import read_calibration
from pyro_dcign.measures.compare import COLUMNS, _kept
from pyro_dcign.measures.figures.of_a_run import read_metrics, training_curves
from pyro_dcign.runs import build, load_run, write_run_config
from pyro_dcign.scenes.basel import read_basel
from pyro_dcign.scenes.ict import read_ict
from pyro_dcign.scenes.morphable import MorphableFaces

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc"
)


def import_all(kind, path):
    """What an import does, without writing: labels, minibatches and every image."""
    module = import_module(f"pyro_dcign.datasets.readers.{_MODULES.get(kind, kind)}")
    with module.source(path) as source:
        known = labels(source, source.default, test_fraction=0.25, seed=0)
        options = {"split": "train", "size": 4, "most": 2, "tolerance": {}, "seed": (0, 0)}
        for name in source.default:
            _range(source, name)
        for start in range(0, min(len(source), 4 * source.block), source.block):
            pixels = source.read(start, min(start + source.block, len(source)))
            resized(torch.from_numpy(np.array(pixels[:2])), 8)
        form(known, source.default[0] if source.default else "intrinsic", **options)


def store(folder):
    write_store(folder / "set", made(0), factors=FACTORS, recipe={"seed": 0, "deep": [{"a": 1}]})


def mended(folder, operations):
    """Make digests fit again, in one input of two: what lies behind them is reached as well."""
    path = folder / "set" / "manifest.json"
    if operations[-1][1] % 2:
        return
    try:
        found = json.loads(path.read_text())
        found.pop("sha256", None)
        for shard in [s for split in found["shards"].values() for s in split]:
            data = (folder / "set" / shard["file"]).read_bytes()
            shard |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        path.write_text(json.dumps(found))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        pass


def whole_store(folder, _=None):
    opened = Store.open(folder / "set")
    check(opened)
    opened.load("train")
    list(opened.minibatches("test"))


def cars(folder):
    from scipy.io import savemat

    for car in range(4):
        images = np.zeros((6, 5, 3, 24, 4), np.uint8)
        content = {"other": {"a": 1}, "im": images, "x": np.arange(3.0)}
        savemat(folder / f"car_{car}.mat", content, do_compression=car == 0)


def hdf5(folder):
    import h5py

    _, turn = foreign.axes(3, 4)
    values = np.zeros((12, 6))
    values[:, 4], values[:, 5] = np.arange(12) // 4, turn * 20
    values[:, 3] = turn % 2
    images = np.repeat(foreign.numbered(12, 64)[..., None], 3, -1)
    for name, options in (
        ("plain", {}),
        ("packed", {"chunks": (4, 64, 64, 3), "compression": "gzip", "shuffle": True}),
        ("checked", {"chunks": (2, 64, 64, 3), "fletcher32": True}),
    ):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.attrs["made"] = b"x" * 40
            file.create_dataset("images", data=images, **options)
            file.create_dataset("labels", data=values, chunks=True if options else None)


def each(glob, read):
    """A reader of one file, over those of a folder of which one is mutated."""

    def read_all(folder, name=None):
        refused = None
        for path in [folder / name] if name else sorted(folder.glob(glob)):
            try:
                read(path)
            except InputError as error:
                refused = error
        if refused:
            raise refused

    return read_all


def pictures(folder):
    ramp = np.linspace(0, 255, 12 * 10).astype(np.uint8).reshape(12, 10)
    grey, rgb = Image.fromarray(ramp), Image.fromarray(foreign.colour(ramp))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    rgb.save(folder / "a.png")
    rgb.convert("P").save(folder / "palette.png", transparency=3)
    rgb.convert("RGBA").save(folder / "alpha.png")
    grey.save(folder / "grey.png", icc_profile=b"x" * 200)
    Image.fromarray(ramp.astype(np.uint16) * 200).save(folder / "deep.png")
    grey.convert("1").save(folder / "bits.png")
    rgb.save(folder / "a.jpg", exif=exif)
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.save(folder / "progressive.jpg", progressive=True)
    grey.save(folder / "a.bmp")
    rgb.save(folder / "a.webp", lossless=True)
    rgb.save(folder / "lossy.webp", exif=exif)
    rgb.save(folder / "moving.webp", save_all=True, append_images=[grey.convert("RGB")])
    rgb.save(folder / "a.tif")
    rgb.save(folder / "lzw.tif", compression="tiff_lzw")
    grey.save(folder / "zip.tif", compression="tiff_adobe_deflate")
    rgb.convert("CMYK").save(folder / "cmyk.tif")
    Image.fromarray(ramp.astype(np.float32) / 255).save(folder / "deep.tif")
    rgb.save(folder / "a.ppm")
    grey.save(folder / "deep.gif", save_all=True, append_images=[grey.rotate(90)])


def picture_set(folder):
    lines = ["file,identity,azimuth,smile"]
    for k in range(12):
        Image.fromarray(foreign.numbered(1, 12, first=k)[0]).save(folder / f"{k}.png")
        lines.append(f"{k}.png,person {k // 4},{k % 4 * 7.5},{k % 2}")
    (folder / "factors.csv").write_text("\n".join(lines) + "\n")


def chairs(folder):
    for chair in range(4):
        where = folder / f"{chair:032x}" / "renders"
        where.mkdir(parents=True)
        for k, turn in enumerate((0, 11, 23)):
            image = Image.fromarray(foreign.colour(foreign.numbered(1, 16)[0]))
            image.save(where / f"image_{k:03d}_p020_t{turn:03d}_r096.png")


def torch7(folder):
    for k in range(2):
        values = foreign.numbered(4, 8)[:, None] / np.float32(255)
        (folder / f"batch{k}").write_bytes(foreign.torch7_tensor(values))


def calibration(folder):
    factors = {
        "azimuth": {"indices": [0], "values": [-80.0, 0.0, 80.0], "codes": [[-1.0], [0.0], [1.0]]},
        "light": {"indices": [1], "values": [-80.0, 80.0], "codes": [[-1.0], [1.0]], "note": "n"},
    }
    head = {"format": "pyro-dcign calibration", "version": 1, "images": 9}
    (folder / "calibration.json").write_text(json.dumps({**head, "factors": factors}, indent=1))


def metrics(folder):
    terms = {"azimuth": {"reconstruction": 5.0, "kl": 1.0}}
    line = {"seconds": 1.0, "train": terms, "test": {"reconstruction": 1.0, "kl": 2.0, "elbo": -3}}
    for k in range(3):
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 10 * (k + 1), **line}) + "\n")


def drawn(folder, _=None):
    records = read_metrics(folder / "metrics.jsonl")
    if len(json.dumps(records)) % 50 == 0:  # drawing takes a hundred times as long as reading
        training_curves(records)


def compared(folder):
    row = {"guide": "flow", "supervision": "none", "seed": 0, "steps": 9, **dict.fromkeys(COLUMNS)}
    (folder / "compare.json").write_text(json.dumps(row | {"elbo": -3.5}, indent=1))


def one_ict(folder):
    write_ict(folder / "FaceXModel", _patch)


class _Patch:
    """What write_ict asks of monkeypatch; a fork forgets it."""

    def setattr(self, *what):
        setattr(*what)


_patch = _Patch()


def a_run(folder):
    factors = {"azimuth": FactorRange(-80, 80), "light": FactorRange(0, 360, (), 360)}
    run = build(folder, TINY, factors)
    write_run_config(run)
    held = {name: tensor.contiguous() for name, tensor in run.modules.state_dict().items()}
    save_file(held, folder / "parameters.safetensors")


def opened(folder, _=None):
    run = load_run(folder)
    return run


READERS = {
    "config": fuzzing.Reader(a_run, opened, files=("config.toml",), edits={".toml": [in_text]}),
    "parameters": fuzzing.Reader(
        a_run,
        opened,
        files=("parameters.safetensors",),
        edits={".safetensors": [in_safetensors]},
    ),
    "store": fuzzing.Reader(
        store,
        whole_store,
        edits={".json": [in_json], ".safetensors": [in_safetensors]},
        mend=mended,
    ),
    "evaluate npz": fuzzing.Reader(
        foreign.write_npz,
        lambda f, _=None: read_npz(f / "set.npz"),
        edits={"": [in_zip]},
    ),
    "npz": fuzzing.Reader(
        foreign.write_npz,
        lambda f, _=None: import_all("npz", f / "set.npz"),
        edits={"": [in_zip]},
    ),
    "dsprites": fuzzing.Reader(
        foreign.write_dsprites,
        lambda f, _=None: import_all("dsprites", f / "dsprites.npz"),
        edits={"": [in_zip]},
    ),
    "mpi3d": fuzzing.Reader(
        foreign.write_mpi3d,
        lambda f, _=None: import_all("mpi3d", f / "mpi3d_toy.npz"),
        edits={"": [in_zip]},
    ),
    "smallnorb": fuzzing.Reader(
        foreign.write_smallnorb, lambda f, _=None: import_all("smallnorb", f)
    ),
    "torch7": fuzzing.Reader(torch7, each("batch*", _pixels)),
    "cars3d": fuzzing.Reader(cars, lambda f, _=None: import_all("cars3d", f), edits={"": [in_mat]}),
    "3dshapes": fuzzing.Reader(hdf5, each("*.h5", lambda p: import_all("3dshapes", p))),
    "folder": fuzzing.Reader(
        picture_set,
        lambda f, _=None: import_all("folder", f),
        files=("factors.csv", "0.png"),
        edits={".csv": [in_text], ".png": [in_png]},
    ),
    "aubry": fuzzing.Reader(chairs, lambda f, _=None: import_all("aubry", f), edits={"": [in_png]}),
    "pictures to import": fuzzing.Reader(
        pictures,
        each("[!d]*", import_module("pyro_dcign.datasets.readers.pictures").picture),
        files=("[!d]*",),
        edits={".png": [in_png]},
    ),
    "pictures to render": fuzzing.Reader(
        pictures, each("*.*", lambda p: read_picture(p, 8)), edits={".png": [in_png]}
    ),
    "basel mat": fuzzing.Reader(
        lambda f: write_2009(f / "m.mat"),
        lambda f, _=None: MorphableFaces(read_basel(f / "m.mat"), shadows=False),
        edits={"": [in_mat]},
    ),
    "basel h5": fuzzing.Reader(
        lambda f: write_2017(f / "m.h5"),
        lambda f, _=None: MorphableFaces(read_basel(f / "m.h5"), shadows=False),
    ),
    "ict": fuzzing.Reader(
        one_ict, lambda f, _=None: MorphableFaces(read_ict(f), shadows=False), edits={"": [in_text]}
    ),
    "calibration": fuzzing.Reader(
        calibration, lambda f, _=None: read_calibration(toy_run(f)), edits={"": [in_json]}
    ),
    "metrics": fuzzing.Reader(metrics, drawn, edits={"": [in_text]}),
    "comparison": fuzzing.Reader(
        compared, lambda f, _=None: _kept(f / "compare.json", f), edits={"": [in_json]}
    ),
}
SHORT = {"3dshapes": 2, "basel h5": 2}
"""Inputs of a short run, where a process starts for each of them."""


@pytest.fixture(autouse=True)
def _small_sets(monkeypatch):
    monkeypatch.setattr(mpi3d, "GRID", foreign.SMALL_MPI3D)
    ict = import_module("pyro_dcign.scenes.ict")
    for name in ("VERTICES", "SKIN", "EYES"):
        monkeypatch.setattr(ict, name, getattr(ict, name))  # put back what writing changes


def test_every_kind_of_import_is_fuzzed():
    assert set(KINDS) <= set(READERS)


@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_read(name, tmp_path):
    READERS[name].write(tmp_path)
    READERS[name].read(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused_in_one_line(name, tmp_path):
    tally = fuzzing.fuzz(READERS[name], tmp_path, inputs=SHORT.get(name, 24), seconds=20)
    assert tally.inputs > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_mutated_files_are_read_or_refused_in_one_line(name, tmp_path, capsys):
    inputs, seconds, first = (
        int(os.environ.get(f"PYRO_DCIGN_FUZZ_{what}", default))
        for what, default in (("INPUTS", "100000"), ("SECONDS", "600"), ("FIRST", "1000"))
    )
    tally = fuzzing.fuzz(READERS[name], tmp_path, inputs=inputs, seconds=seconds, first=first)
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {tally}\n")
    assert tally.inputs > 0
