"""Morphable models that a user owns: read from their formats, drawn by the common renderer."""

import numpy as np
import pytest
import torch

from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check
from pyro_dcign.errors import InputError
from pyro_dcign.scenes import ict
from pyro_dcign.scenes.basel import read_basel
from pyro_dcign.scenes.ict import read_ict
from pyro_dcign.scenes.scene import Scene, load_scene

PEOPLE = torch.arange(4)


def ball(rows=11, columns=16):
    """An egg, y up, with its two poles: vertices and outward triangles."""
    theta = np.linspace(0, np.pi, rows + 2)[1:-1, None]
    phi = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    ring = np.stack(np.broadcast_arrays(np.sin(theta) * np.sin(phi), 1.3 * np.cos(theta),
                                        np.sin(theta) * np.cos(phi)), -1)  # fmt: skip
    vertices = np.concatenate((ring.reshape(-1, 3), [[0, 1.3, 0], [0, -1.3, 0]]))
    top, bottom = rows * columns, rows * columns + 1
    out = []
    for c in range(columns):
        d = (c + 1) % columns
        out += [(top, c, d), (bottom, (rows - 1) * columns + d, (rows - 1) * columns + c)]
        for r in range(rows - 1):
            a, b = r * columns + c, r * columns + d
            out += [(a, a + columns, b), (b, a + columns, b + columns)]
    return vertices, np.array(out)


def model():
    g = np.random.Generator(np.random.PCG64(0))
    vertices, triangles = ball()
    n = vertices.size
    shape = np.linalg.qr(g.normal(size=(n, 3)))[0]
    colour = np.linalg.qr(g.normal(size=(n, 2)))[0]
    return {
        "shape": (1000 * vertices.ravel(), shape, np.array([800.0, 400, 200])),
        "color": (np.full(n, 0.6), colour, np.array([0.8, 0.4])),
        "triangles": triangles,
    }


def write_2009(path, **change):
    from scipy.io import savemat

    (mean, basis, deviation), (colour, tints, spread) = model()["shape"], model()["color"]
    content = {
        "shapeMU": mean[:, None].astype(np.float32),
        "shapePC": basis.astype(np.float32),
        "shapeEV": deviation[:, None],
        "texMU": 255 * colour[:, None],
        "texPC": tints,
        "texEV": 255 * spread[:, None],
        "tl": (model()["triangles"][:, ::-1] + 1).astype(np.float64),
        **change,
    }
    savemat(path, {k: v for k, v in content.items() if v is not None}, do_compression=True)
    return path


def write_2017(path, **change):
    import h5py

    content = {}
    for name in ("shape", "color"):
        mean, basis, deviation = model()[name]
        content[f"{name}/model/mean"] = mean.astype(np.float32)
        content[f"{name}/model/pcaBasis"] = basis.astype(np.float32)
        content[f"{name}/model/pcaVariance"] = deviation**2
        content[f"{name}/representer/cells"] = model()["triangles"].T.astype(np.uint32)
        content[f"{name}/representer/points"] = model()["shape"][0].reshape(-1, 3).T
    content |= {name.replace("__", "/"): value for name, value in change.items()}
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if value is not None:
                file[name] = value
    return path


def write_ict(folder, monkeypatch):
    skin, faces = ball()
    eye, eye_faces = ball(5, 8)
    n, m = len(skin), len(eye)
    monkeypatch.setattr(ict, "VERTICES", n + 2 * m + 3)
    monkeypatch.setattr(ict, "SKIN", (0, n))
    monkeypatch.setattr(ict, "EYES", ((n, n + m), (n + m, n + 2 * m)))
    lashes = [[0, 0, 9]] * 3
    balls = [0.15 * eye + [x, 0.3, 0.9] for x in (0.4, -0.4)]
    vertices = np.concatenate((skin, *balls, lashes))
    polygons = [*faces, *(eye_faces + n), *(eye_faces + n + m), (n + 2 * m, 0, 1)]
    folder.mkdir()
    g = np.random.Generator(np.random.PCG64(1))
    for k, name in enumerate(("generic_neutral_mesh", "identity000", "identity001")):
        moved = vertices + (0.03 * g.normal(size=vertices.shape) if k else 0)
        lines = ["# ICT", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in moved), "vt 0 0", "s off"]
        lines += ["f " + " ".join(f"{c + 1}/1" for c in corners) for corners in polygons]
        (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")
    return folder


def shoot(scene, people=PEOPLE, **angles):
    factors = {n: torch.full((len(people),), float(angles.get(n, 0))) for n in scene.factors}
    return scene.render(people, factors, side=32)


def test_both_formats_give_the_same_faces(tmp_path):
    old = load_scene("bfm", path=write_2009(tmp_path / "a.mat"))
    new = load_scene("bfm", path=write_2017(tmp_path / "b.h5"))
    assert isinstance(old, Scene)
    first, second = shoot(old).int(), shoot(new).int()
    assert (first - second).abs().max() <= 1
    assert (first > 0).float().mean() > 0.2
    assert old.digest != new.digest


def test_the_models_numbers_are_read_as_they_are(tmp_path):
    for found in (
        read_basel(write_2009(tmp_path / "a.mat")),
        read_basel(write_2017(tmp_path / "b.h5")),
    ):
        mean, basis, deviation = model()["shape"]
        assert np.allclose(found.mean.ravel(), mean, rtol=1e-6)
        assert np.allclose(found.modes.reshape(3, -1), (basis * deviation).T, atol=1e-3)
        assert np.allclose(found.tone, 0.6, rtol=1e-5)
        _, tints, spread = model()["color"]
        weights = np.array([0.299, 0.587, 0.114])
        grey = (tints * spread).T.reshape(2, -1, 3) @ weights
        assert np.allclose(found.tone_modes, grey, atol=1e-6)


@pytest.mark.parametrize("kind", ["bfm", "ict"])
def test_people_differ_and_the_lamp_stands_to_the_right(kind, tmp_path, monkeypatch):
    if kind == "bfm":
        path = write_2009(tmp_path / "a.mat")
    else:
        path = write_ict(tmp_path / "FaceXModel", monkeypatch)
    scene = load_scene(kind, path=path)
    image = shoot(scene, light=60).float()
    assert (image[:, :, 16:].mean((1, 2)) > 1.2 * image[:, :, :16].mean((1, 2))).all()
    assert all((image[0] != other).any() for other in image[1:])
    again = shoot(scene, PEOPLE[[2]], light=60).float()[0]
    assert (again - image[2]).abs().max() <= 1
    rows = (image > 0).any(2).sum(1).float()
    assert rows.mean() / 32 == pytest.approx(0.88, abs=0.12)


def test_eyes_are_white_with_a_dark_iris_and_films_are_left_out(tmp_path, monkeypatch):
    found = read_ict(write_ict(tmp_path / "FaceXModel", monkeypatch))
    assert found.mean[:, 2].max() < 9  # no lashes
    assert found.tone.max() == pytest.approx(ict.WHITE)
    assert found.tone.min() < ict.IRIS + 0.01
    assert (found.tone_modes[0, -10:] == 0).all()
    assert len(found.modes) == 2


def test_data_make_faces_draws_from_a_users_model(tmp_path, run):
    path = write_2017(tmp_path / "model2019_face12.h5")
    few = ["--side", "16", "--minibatches", "1", "--test", "1", "--workers", "1"]
    status, out, _ = run("data", "make", "faces", tmp_path / "set", "--bfm", path, *few)
    assert status == 0
    assert "1 azimuth, 1 elevation, 1 light, 1 pose, 3 intrinsic" in out
    store = Store.open(tmp_path / "set")
    assert check(store).problems == []
    assert (store.manifest.recipe["scene"], len(store.manifest.recipe["model"])) == ("bfm", 64)
    write_2017(path, color__model__mean=np.full(534, 0.3))
    status, _, err = run("data", "make", "faces", tmp_path / "set", "--bfm", path, *few)
    assert status == 2
    assert "another folder" in err


def cut(path):
    path.write_bytes(path.read_bytes()[:-900])


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


BASEL = {
    "mat truncated": (write_2009, ".mat", cut),
    "mat magic": (write_2009, ".mat", lambda p: p.write_bytes(b"\7" * 400)),
    "mat key": (write_2009, ".mat", lambda p: write_2009(p, texEV=None)),
    "mat shape": (write_2009, ".mat", lambda p: write_2009(p, shapeEV=np.ones((9, 1)))),
    "mat row": (write_2009, ".mat", lambda p: write_2009(p, shapeMU=np.ones((1, 534)))),
    "mat dtype": (write_2009, ".mat", lambda p: write_2009(p, shapeMU=np.full((534, 1), "a"))),
    "mat triangle": (write_2009, ".mat", lambda p: write_2009(p, tl=np.full((4, 3), 9e6))),
    "mat NaN": (write_2009, ".mat", lambda p: write_2009(p, texMU=np.full((534, 1), np.nan))),
    "h5 truncated": (write_2017, ".h5", cut),
    "h5 magic": (write_2017, ".h5", lambda p: p.write_bytes(b"\7" * 400)),
    "h5 key": (write_2017, ".h5", lambda p: write_2017(p, shape__model__mean=None)),
    "h5 shape": (write_2017, ".h5", lambda p: write_2017(p, color__model__mean=np.ones(9))),
    "h5 dtype": (write_2017, ".h5", lambda p: write_2017(p, color__model__mean=[b"a"] * 534)),
    "h5 cells": (
        write_2017,
        ".h5",
        lambda p: write_2017(p, shape__representer__cells=np.ones((2, 9))),
    ),
    "ending": (write_2017, ".hdf", lambda p: None),
}


@pytest.mark.parametrize("name", BASEL)
def test_a_damaged_basel_model_is_one_line(name, tmp_path, run):
    write, ending, damage = BASEL[name]
    path = write(tmp_path / f"model{ending}")
    damage(path)
    path = next(tmp_path.glob("model*"))
    status, out, err = run("data", "make", "faces", tmp_path / "set", "--bfm", path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert path.name in err
    assert list(tmp_path.iterdir()) == [path]


ICT = {
    "truncated": lambda p: cut(p / "identity001.obj"),
    "no number": lambda p: edit(p / "identity000.obj", "v ", "v x"),
    "short": lambda p: edit(p / "identity000.obj", "v ", "# "),
    "ragged": lambda p: edit(p / "generic_neutral_mesh.obj", "v ", "v 1\nv "),
    "corner": lambda p: edit(p / "generic_neutral_mesh.obj", "f ", "f 99999/1 "),
    "no neutral": lambda p: (p / "generic_neutral_mesh.obj").unlink(),
    "no identities": lambda p: [f.unlink() for f in p.glob("identity*")],
}


@pytest.mark.parametrize("name", ICT)
def test_a_damaged_ict_model_is_one_line(name, tmp_path, run, monkeypatch):
    folder = write_ict(tmp_path / "FaceXModel", monkeypatch)
    ICT[name](folder)
    status, out, err = run("data", "make", "faces", tmp_path / "set", "--ict", tmp_path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "FaceXModel" in err
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chairs", "{}", "--bfm", "a.h5"], "with the scene faces"),
        (["faces", "{}", "--bfm", "a.h5", "--ict", "b"], "one of --bfm and --ict"),
        (["faces", "{}", "--bfm", "nowhere.h5"], "a file at"),
        (["faces", "{}", "--ict", "nowhere"], "a folder at"),
        (["faces", "{}", "--chairs", "30"], "scene chairs only"),
    ],
    ids=["chairs", "both", "no file", "no folder", "faces"],
)
def test_impossible_wishes_are_one_line(arguments, says, tmp_path, run):
    status, out, err = run("data", "make", *(a.format(tmp_path / "set") for a in arguments))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_a_missing_factor_is_named(tmp_path):
    scene = load_scene("bfm", path=write_2009(tmp_path / "a.mat"))
    with pytest.raises(InputError, match="light"):
        scene.render(PEOPLE, {"azimuth": torch.zeros(4), "elevation": torch.zeros(4)}, side=8)
