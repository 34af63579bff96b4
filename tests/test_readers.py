"""Readers of others' formats: what they read is what was written, and damage is one line."""

import struct

import foreign
import numpy as np
import pytest
import torch
from PIL import Image

from pyro_dcign.datasets.readers import KINDS, mpi3d
from pyro_dcign.datasets.readers.bring import bring
from pyro_dcign.datasets.readers.forming import Labels, form
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.varying import standard_types

SMALL = {"size": 4, "minibatches": 6, "test": 2, "test_fraction": 0.25, "quiet": True}


@pytest.fixture(autouse=True)
def _small_mpi3d(monkeypatch):
    monkeypatch.setattr(mpi3d, "GRID", foreign.SMALL_MPI3D)


@pytest.fixture
def written(tmp_path):
    def written(kind):
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        return foreign.WRITERS[kind](folder)

    return written


def numbers(kind, pixels):
    if kind != "dsprites":
        return foreign.number(pixels)
    return ((pixels[..., 0, :16] > 0) << np.arange(16)).sum(-1)


def test_every_kind_is_tested():
    assert {*foreign.WRITERS, "torch7"} == set(KINDS)


@pytest.mark.parametrize("kind", foreign.WRITERS)
def test_an_import_shows_each_image_with_its_own_labels(kind, written, tmp_path):
    path, factors = written(kind)
    store = bring(kind, path, tmp_path / "out", **SMALL)
    assert check(store).problems == []
    assert store.types == standard_types(factors)
    for split in ("train", "test"):
        assert min(store.counts(split).values()) > 0
        for minibatch in store.minibatches(split):
            number = numbers(kind, minibatch.pixels.numpy())
            for name, values in factors.items():
                expected = torch.tensor(values[number], dtype=torch.float32)
                assert torch.equal(minibatch.factors[name], expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "source"]


@pytest.mark.parametrize("kind", ["smallnorb", "npz"])
def test_an_import_does_not_depend_on_anything_but_its_seed(kind, written, tmp_path):
    path, _ = written(kind)
    made = [bring(kind, path, tmp_path / f"{k}", **SMALL, seed=s) for k, s in enumerate((3, 3, 4))]
    texts = [(store.folder / "manifest.json").read_text() for store in made]
    assert texts[0] == texts[1] != texts[2]


def test_the_authors_minibatches_come_without_labels(tmp_path, run):
    source = tmp_path / "source"
    foreign.write_torch7(source)
    status, out, _ = run("data", "import", "torch7", source, tmp_path / "out")
    assert status == 0
    assert "true values unknown" in out
    assert "imported: torch7 from source" in out
    store = Store.open(tmp_path / "out")
    assert store.types == ("azimuth", "elevation", "light", "intrinsic")
    assert store.counts("train") == dict.fromkeys(store.types, 11)
    assert check(store).problems == []
    # In the order of their numbers: batch2 before batch10.
    shown = [foreign.number(m.pixels.numpy()) for m in store.minibatches("train")]
    assert np.array_equal(np.concatenate(shown[:11]), np.arange(44))
    assert all(m.factors["light"].isnan().all() for m in store.minibatches("test"))


def test_factors_that_are_left_out_join_the_identity(written, tmp_path):
    path, _ = written("smallnorb")
    store = bring("smallnorb", path, tmp_path / "out", factors=["azimuth"], **SMALL)
    assert store.types == ("azimuth", "intrinsic")
    people = 4 * 2 * 2  # toys, elevations and lights of a split
    assert 1 < len(store.identities("train")) <= people
    assert check(store).problems == []


def test_one_chair_is_never_in_both_splits(written, tmp_path):
    path, _ = written("aubry")
    store = bring("aubry", path, tmp_path / "out", **SMALL)
    chairs = {
        split: {
            int(n) // 14 for m in store.minibatches(split) for n in foreign.number(m.pixels.numpy())
        }
        for split in ("train", "test")
    }
    assert not chairs["train"] & chairs["test"]


def test_no_value_comes_twice_before_each_has_come_once(written, tmp_path):
    path, _ = written("smallnorb")
    store = bring("smallnorb", path, tmp_path / "out", **{**SMALL, "size": 7})
    for minibatch in store.minibatches("train"):
        if minibatch.varying in minibatch.factors:
            values, counts = minibatch.factors[minibatch.varying].unique(return_counts=True)
            assert len(values) == {"azimuth": 3, "elevation": 2, "light": 2}[minibatch.varying]
            assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("tolerance", [0.0, 0.5])
def test_a_rare_value_is_shown_before_a_common_one_comes_twice(tolerance):
    """Ten images at 0 degrees, one at 10 and one at 20, of one thing: minibatches of three."""
    azimuth = np.array([0.0] * 10 + [10, 20])
    known = Labels({"azimuth": azimuth}, np.zeros(12, np.int64), np.zeros(12, bool))
    options = {"split": "train", "size": 3, "most": 20, "tolerance": tolerance, "seed": (0, 0)}
    found = form(known, "azimuth", **options)
    assert len(found) > 1
    for row in found:
        assert sorted(azimuth[row]) == [0, 10, 20]


@pytest.fixture
def scattered(tmp_path):
    """Poses that are never twice the same."""
    g = np.random.Generator(np.random.PCG64(0))
    n = 300
    np.savez(
        tmp_path / "set.npz",
        images=foreign.numbered(n, 9),
        identity=np.arange(n) % 6,
        factor_azimuth=g.uniform(-60, 60, n),
        factor_light=g.uniform(-60, 60, n),
    )
    return tmp_path / "set.npz"


def test_scattered_poses_are_matched_within_the_stated_tolerance(scattered, tmp_path):
    store = bring("npz", scattered, tmp_path / "out", **SMALL, tolerance=20)
    assert store.manifest.tolerance == 20
    assert check(store).problems == []
    assert min(store.counts("train").values()) == 6
    for minibatch in store.minibatches("train"):
        if minibatch.varying == "intrinsic":
            assert len(minibatch.identity.unique()) >= 2
            assert len(minibatch.identity.unique()) == len(
                np.unique(foreign.number(minibatch.pixels.numpy()))
            )


def test_scattered_poses_without_a_tolerance_are_refused(scattered, tmp_path, run):
    status, out, err = run("data", "import", "npz", scattered, tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "raise --tolerance" in err
    assert not (tmp_path / "out").exists()


def test_pictures_of_another_size_and_colour_are_brought_to_grey_squares(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    lines = ["file,identity,azimuth"]
    for k in range(16):
        image = Image.new("RGBA", (30, 20), (0, 0, 0, 0))
        image.paste((0, 255, 0, 255), (10, 5, 20 - k % 2, 15))
        image.save(folder / f"{k}.png")
        lines.append(f"{k}.png,{k // 2},{k % 2}")
    (folder / "factors.csv").write_text("\n".join(lines))
    store = bring("folder", folder, tmp_path / "out", **{**SMALL, "size": 2}, side=10)
    pixels = store.minibatch("train", "azimuth", 0).pixels
    assert pixels.shape == (2, 10, 10)
    assert (pixels[:, 0] == 255).all()  # transparent is white
    assert int(pixels[0, 5, 5]) == 150  # green's share of luma


def cut(path, left=None):
    path.write_bytes(path.read_bytes()[: left or -7])


def swap(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def norb(folder, what):
    return next(folder.glob(f"*training-{what}.mat"))


def resave(path, arrays, **change):
    found = {**arrays, **change}
    np.savez(path, **{name: value for name, value in found.items() if value is not None})


def reh5(path, **change):
    import h5py

    with h5py.File(path, "r+") as file:
        for name, value in change.items():
            del file[name]
            if value is not None:
                file.create_dataset(name, data=value)


def remat(path, **content):
    from scipy.io import savemat

    savemat(path, content)


def retable(folder, old, new):
    table = folder / "factors.csv"
    table.write_text(table.read_text().replace(old, new, 1))


def rename_view(folder, old, new):
    path = next(folder.rglob(f"*{old}*"))
    path.rename(path.with_name(path.name.replace(old, new)))


def bomb(path):
    """A PNG whose header claims a picture of 60,000 pixels a side."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)


H5, NPZ = foreign.plain_arrays(), foreign.plain_arrays()
SPRITES = foreign.dsprites_arrays()
DAMAGES = {
    "aubry": {
        "truncated": lambda p: [cut(f, 50) for f in p.rglob("*.png")],
        "no such angle": lambda p: rename_view(p, "_t058_", "_t059_"),
        "no picture": lambda p: [f.write_bytes(b"x") for f in p.rglob("*.png")],
        "no chairs": lambda p: [f.unlink() for f in p.rglob("*.png")],
    },
    "smallnorb": {
        "truncated": lambda p: cut(norb(p, "dat")),
        "magic": lambda p: swap(norb(p, "info"), struct.pack("<i", 507333716), b"\0\0\0\0"),
        "dtype": lambda p: swap(
            norb(p, "cat"), struct.pack("<i", 507333716), struct.pack("<i", 507333717)
        ),
        "shape": lambda p: norb(p, "info").write_bytes(
            foreign.norb_array(np.zeros((48, 5), np.int32))
        ),
        "huge": lambda p: norb(p, "dat").write_bytes(
            struct.pack("<6i", 507333717, 4, 2**31 - 1, 2, 2**31 - 1, 2**31 - 1)
        ),
        "missing": lambda p: norb(p, "cat").unlink(),
        "empty": lambda p: norb(p, "cat").write_bytes(b""),
    },
    "3dshapes": {
        "truncated": cut,
        "magic": lambda p: swap(p, b"\x89HDF", b"\x89HDG"),
        "missing": lambda p: reh5(p, labels=None),
        "shape": lambda p: reh5(p, labels=np.zeros((96, 5))),
        "dtype": lambda p: reh5(p, images=np.zeros((96, 64, 64, 3), np.float32)),
        "NaN": lambda p: reh5(p, labels=np.full((96, 6), np.nan)),
        "vast": lambda p: reh5(p, labels=np.full((96, 6), 1e306)),
    },
    "dsprites": {
        "truncated": cut,
        "magic": lambda p: p.write_bytes(b"x" + p.read_bytes()[1:-30]),
        "missing": lambda p: resave(p, SPRITES, latents_values=None),
        "shape": lambda p: resave(p, SPRITES, imgs=np.zeros((96, 32, 32), np.uint8)),
        "dtype": lambda p: resave(p, SPRITES, latents_values=np.zeros((96, 6), np.int64)),
        "objects": lambda p: resave(p, SPRITES, imgs=np.array([{}] * 96, dtype=object)),
    },
    "mpi3d": {
        "truncated": cut,
        "missing": lambda p: resave(p, {"pictures": np.zeros(3)}),
        "shape": lambda p: resave(p, {"images": np.zeros((5, 64, 64, 3), np.uint8)}),
        "dtype": lambda p: resave(p, {"images": np.zeros((5, 64, 64, 3), np.int8)}),
    },
    "cars3d": {
        "truncated": lambda p: [cut(f) for f in p.glob("*.mat")],
        "magic": lambda p: (p / "car_003_mesh.mat").write_bytes(b"\1" * 300),
        "missing": lambda p: remat(p / "car_003_mesh.mat", pictures=np.zeros(3)),
        "shape": lambda p: remat(p / "car_003_mesh.mat", im=np.zeros((8, 8, 3, 24, 3), np.uint8)),
        "another shape": lambda p: remat(
            p / "car_003_mesh.mat", im=np.zeros((9, 9, 3, 24, 4), np.uint8)
        ),
        "dtype": lambda p: remat(p / "car_003_mesh.mat", im=np.zeros((8, 8, 3, 24, 4))),
        "no cars": lambda p: [f.unlink() for f in p.glob("*.mat")],
    },
    "npz": {
        "truncated": cut,
        "magic": lambda p: p.write_bytes(b"no archive"),
        "missing": lambda p: resave(p, NPZ, identity=None),
        "shape": lambda p: resave(p, NPZ, factor_light=np.zeros(5)),
        "dtype": lambda p: resave(p, NPZ, images=np.zeros((180, 9, 9))),
        "NaN": lambda p: resave(p, NPZ, factor_light=np.full(180, np.nan)),
        "huge": lambda p: resave(p, NPZ, factor_light=np.full(180, 1e300)),
        "name": lambda p: resave(p, NPZ, **{"factor_../x": np.zeros(180)}),
        "objects": lambda p: resave(p, NPZ, images=np.array([{}], dtype=object)),
    },
    "folder": {
        "truncated": lambda p: [cut(f, 50) for f in p.rglob("*.png")],
        "no picture": lambda p: (p / "0.png").write_text("<svg/>"),
        "missing picture": lambda p: (p / "inner" / "7.png").unlink(),
        "bomb": lambda p: bomb(p / "0.png"),
        "no table": lambda p: (p / "factors.csv").unlink(),
        "no column": lambda p: retable(p, "identity", "who_knows"),
        "two columns": lambda p: retable(p, "smile", "azimuth"),
        "no number": lambda p: retable(p, "7.5", "left"),
        "huge": lambda p: retable(p, "7.5", "1e300"),
        "short line": lambda p: retable(p, ",7.5", ""),
        "no text": lambda p: (p / "factors.csv").write_bytes(b"\xff\xfe\0\0"),
        "above": lambda p: retable(p, "\n0.png", "\n../out.png"),
        "absolute": lambda p: retable(p, "\n0.png", "\n/etc/passwd"),
        "link": lambda p: (
            (p / "0.png").unlink(),
            (p / "0.png").symlink_to(p.parent / "elsewhere.png"),
        ),
    },
}
CASES = [(kind, name) for kind, damages in DAMAGES.items() for name in damages]


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{k}-{n}" for k, n in CASES])
def test_damage_is_one_line_and_leaves_nothing(kind, name, written, run, tmp_path):
    path, _ = written(kind)
    DAMAGES[kind][name](path)
    source = path.parent if path.is_file() else path
    before = sorted(tmp_path.rglob("*"))
    few = ["--size", "4", "--test-fraction", "0.25"]
    status, out, err = run("data", "import", kind, path, tmp_path / "new" / "out", *few)
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("Error: ")]
    progress = ("reading images", "writing minibatches")
    assert len(lines) == 1
    assert all(line in lines or line.startswith(progress) for line in err.splitlines())
    assert source.name in lines[0] or path.name in lines[0] or name == "name"
    assert sorted(tmp_path.rglob("*")) == before


def torch7_case(values=None, **change):
    values = np.zeros((4, 1, 8, 8)) + 0.5 if values is None else values
    return foreign.torch7_tensor(values, **change)


GOOD = torch7_case()
TORCH7 = {
    "truncated": GOOD[:-3],
    "longer": GOOD + b"\0",
    "head only": GOOD[:30],
    "empty": b"",
    "magic": b"\3" + GOOD[1:],
    "dtype": torch7_case(kind=b"torch.DoubleTensor"),
    "storage": torch7_case(storage=b"torch.ByteStorage"),
    "long name": GOOD.replace(struct.pack("<i", 17), struct.pack("<i", 2**30), 1),
    "shape": torch7_case(np.zeros((4, 3, 8, 8))),
    "not square": torch7_case(np.zeros((4, 1, 8, 9))),
    "other shape": torch7_case(np.zeros((5, 1, 8, 8))),
    "huge": GOOD.replace(struct.pack("<q", 4), struct.pack("<q", 2**62), 1),
    "negative": GOOD.replace(struct.pack("<q", 4), struct.pack("<q", -4), 1),
    "strides": GOOD.replace(struct.pack("<q", 64), struct.pack("<q", 63), 1),
    "NaN": torch7_case(np.full((4, 1, 8, 8), np.nan)),
    "beyond": torch7_case(np.full((4, 1, 8, 8), 255.0)),
}


@pytest.mark.parametrize("name", TORCH7)
def test_a_damaged_torch7_file_is_one_line(name, tmp_path, run):
    source = foreign.write_torch7(tmp_path / "source")
    damaged = source / "th_EL_VARIED" / "FT_training" / "batch3"
    assert TORCH7[name] != GOOD
    damaged.write_bytes(TORCH7[name])
    status, out, err = run("data", "import", "torch7", source, tmp_path / "out")
    assert (status, out) == (2, "")
    assert "batch3" in err.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--factors", "pose"], "found pose"),
        (["--factors", "light,light"], "each factor once"),
        (["--test-fraction", "0"], "--test-fraction"),
        (["--test-fraction", "1"], "--test-fraction"),
        (["--side", "5000"], "side from 8 to"),
        (["--size", "1"], "size of minibatches"),
        (["--tolerance", "-1"], "--tolerance"),
        (["--tolerance", "nan"], "--tolerance"),
        (["--minibatches", "-1"], "--minibatches"),
        (["--minibatches", "0", "--test", "0"], "1 or more minibatches"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_impossible_wish_is_one_line(options, says, written, run, tmp_path):
    path, _ = written("npz")
    status, out, err = run("data", "import", "npz", path, tmp_path / "out", *options)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize("kind", [*KINDS, "celeba"])
def test_a_source_that_is_not_there_is_one_line(kind, run, tmp_path):
    status, out, err = run("data", "import", kind, tmp_path / "nowhere", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
