"""The plain form: labelled images from a FILE.npz or a store, and pairs for re-rendering."""

import io
import zipfile
from dataclasses import replace

import fake_scene
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.labelled import EvaluationSet, evaluation_set, read_npz
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.errors import InputError
from pyro_dcign.varying import standard_types

N, SIDE = 6, 8


def arrays(**change):
    rng = np.random.default_rng(0)
    good = {
        "images": rng.integers(0, 256, (N, SIDE, SIDE)).astype(np.uint8),
        "factor_azimuth": np.linspace(-40, 40, N),
        "factor_light": np.zeros(N, np.float32),
        "identity": np.arange(N, dtype=np.int32),
    }
    return {name: value for name, value in {**good, **change}.items() if value is not None}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_plain_form_is_read(save, tmp_path):
    save(tmp_path / "set.npz", **arrays())
    found = read_npz(tmp_path / "set.npz")
    assert torch.equal(found.pixels, torch.from_numpy(arrays()["images"]))
    assert list(found.factors) == ["azimuth", "light"]
    assert found.factors["azimuth"].tolist() == [-40, -24, -8, 8, 24, 40]
    assert found.identity.tolist() == list(range(N))
    assert found.ranges["azimuth"] == FactorRange(-40.0, 40.0)


def test_fortran_order_is_read(tmp_path):
    np.savez(tmp_path / "set.npz", **arrays(images=np.asfortranarray(arrays()["images"])))
    found = read_npz(tmp_path / "set.npz")
    assert torch.equal(found.pixels, torch.from_numpy(arrays()["images"]))


WRONG = {
    "no images": ({"images": None}, "an array images"),
    "no identity": ({"identity": None}, "an array identity"),
    "float images": ({"images": np.zeros((N, 8, 8))}, "images as uint8"),
    "colour images": ({"images": np.zeros((N, 8, 8, 3), np.uint8)}, "grey and square"),
    "oblong images": ({"images": np.zeros((N, 8, 9), np.uint8)}, "grey and square"),
    "huge images": ({"images": np.zeros((1, 1025, 1025), np.uint8)}, "1 to 1024 pixels"),
    "no image": ({"images": np.zeros((0, 8, 8), np.uint8)}, "1 to 2000000 images"),
    "short identity": ({"identity": np.arange(N - 1)}, "identity as 6"),
    "float identity": ({"identity": np.zeros(N)}, "identity as 6 whole numbers"),
    "huge identity": ({"identity": np.full(N, 2**63, np.uint64)}, r"below 2\*\*63"),
    "factor of text": ({"factor_light": np.full(N, "a")}, "numbers in factor_light"),
    "factor of objects": ({"factor_light": np.full(N, None)}, "numbers in factor_light"),
    "factor of two axes": ({"factor_light": np.zeros((N, 1))}, "factor_light as 6"),
    "NaN factor": ({"factor_light": np.full(N, np.nan)}, "finite"),
    "factor intrinsic": ({"factor_intrinsic": np.zeros(N)}, "factor name"),
    "factor of odd name": ({"factor_../x": np.zeros(N)}, "factor name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_form_is_one_line(name, tmp_path):
    change, message = WRONG[name]
    np.savez(tmp_path / "set.npz", **arrays(**change))
    with pytest.raises(InputError, match=message) as caught:
        read_npz(tmp_path / "set.npz")
    assert "\n" not in str(caught.value)


def damaged(name):
    stream = io.BytesIO()
    np.savez(stream, **arrays())
    good = bytearray(stream.getvalue())
    if name == "truncated":
        return bytes(good[:-200])
    if name == "one byte":
        good[300] ^= 0xFF  # inside the pixels: the archive's checksum tells
        return bytes(good)
    if name == "no zip":
        return b"images"
    if name == "empty":
        return b""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        header = io.BytesIO()
        if name == "bomb":
            entry = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1024, 1024)}
            np.lib.format.write_array_header_1_0(header, entry)
        elif name == "header of nonsense":
            header.write(b"\x93NUMPY\x01\x00\x06\x00nonsen")
        archive.writestr("images.npy", header.getvalue())
        archive.writestr("identity.npy", b"")
    return stream.getvalue()


@pytest.mark.parametrize(
    "name", ["truncated", "one byte", "no zip", "empty", "bomb", "header of nonsense", "no header"]
)
def test_damage_is_one_line(name, tmp_path):
    (tmp_path / "set.npz").write_bytes(damaged(name))
    with pytest.raises(
        InputError, match=r"undamaged|to fill its shape|numbers in images"
    ) as caught:
        read_npz(tmp_path / "set.npz")
    assert "\n" not in str(caught.value)


@settings(max_examples=40)
@given(st.data())
def test_any_cut_or_flip_is_read_or_one_line(data):
    """Never another exception than the one that users see."""
    import tempfile
    from pathlib import Path

    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    content = bytearray(stream.getvalue())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as where:
        path = Path(where) / "set.npz"
        path.write_bytes(content)
        try:
            found = read_npz(path)
        except InputError:
            return
        assert len(found) == N


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="found none"):
        read_npz(tmp_path / "set.npz")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    scene = fake_scene.FakeScene()
    recipe = Recipe(
        "fake", counts((*scene.factors, "intrinsic"), train=1, intrinsic=1, test=2), side=8
    )
    folder = tmp_path_factory.mktemp("plain") / "set"
    return evaluation_set(make(folder, recipe, fake_scene.load, workers=1, quiet=True))


def test_a_split_of_a_store_is_an_evaluation_set(faces):
    assert faces.pixels.shape == (160, 8, 8)
    assert list(faces.factors) == ["azimuth", "elevation", "light"]
    shown = faces.pixels[:, 0, :3].float() - 100
    assert torch.equal(shown, torch.stack([*faces.factors.values()], -1).round())


@pytest.mark.parametrize("factor", ["azimuth", "elevation", "light"])
def test_pairs_differ_in_one_factor_only(faces, factor):
    a, b = faces.pairs(factor)
    assert len(a) == 2 * 20 * 19  # of two minibatches, all ordered pairs
    assert len({*zip(a.tolist(), b.tolist(), strict=True)}) == len(a)
    assert torch.equal(faces.identity[a], faces.identity[b])
    for name, values in faces.factors.items():
        assert ((values[a] - values[b]).abs() > 1e-3).all() == (name == factor)
        assert name == factor or (values[a] == values[b]).all()


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    scene = fake_scene.FakeScene()
    recipe = Recipe("fake", counts(standard_types(scene.factors), train=1, intrinsic=1, test=12))
    recipe = replace(recipe, side=8, size=4)
    folder = tmp_path_factory.mktemp("posed") / "set"
    return evaluation_set(make(folder, recipe, fake_scene.load, workers=1, quiet=True))


def test_pairs_of_several_factors_differ_in_the_most_that_ten_people_do(posed, faces):
    names = tuple(posed.factors)
    a, b = posed.pairs(*names)
    assert len(a) == 12 * 4 * 3  # those of the pose minibatches, and no others
    assert torch.equal(posed.identity[a], posed.identity[b])
    for values in posed.factors.values():
        assert ((values[a] - values[b]).abs() > 1e-3).all()
    # Without pose minibatches nobody differs in two factors, so all who differ in one are there.
    a, b = faces.pairs(*names, cap=10_000)
    assert len(a) == 3 * 2 * 20 * 19
    number = sum(((v[a] - v[b]).abs() > 1e-3).int() for v in faces.factors.values())
    assert (number == 1).all()


def test_few_pairs_that_differ_in_everything_do_not_stand_for_a_set():
    factors = {"azimuth": torch.arange(40.0), "light": torch.zeros(40)}
    factors["light"][1] = 5.0  # one of twenty people differs in both
    images = torch.zeros(40, 4, 4, dtype=torch.uint8)
    given_ = EvaluationSet(images, factors, torch.arange(20).repeat_interleave(2), {})
    assert len(given_.pairs("azimuth", "light")[0]) == 40
    alone = EvaluationSet(
        images[:2], {n: v[:2] for n, v in factors.items()}, torch.zeros(2).long(), {}
    )
    assert len(alone.pairs("azimuth", "light")[0]) == 2


def test_pairs_without_factors_are_those_of_one_identity():
    who = torch.tensor([4, 4, 4, 9])
    a, b = EvaluationSet(torch.zeros(4, 4, 4, dtype=torch.uint8), {}, who, {}).pairs()
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == [
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1),
    ]  # fmt: skip


def test_a_capped_sample_of_pairs_depends_on_its_seed_alone(faces):
    a, b = faces.pairs("light", cap=50, seed=3)
    assert len(a) == 50
    again = faces.pairs("light", cap=50, seed=3)
    assert torch.equal(a, again[0])
    assert torch.equal(b, again[1])
    assert not torch.equal(a, faces.pairs("light", cap=50, seed=4)[0])
    everything = {*zip(*(part.tolist() for part in faces.pairs("light")), strict=True)}
    assert {*zip(a.tolist(), b.tolist(), strict=True)} <= everything


def test_pairs_forgive_rounding_and_drop_equal_values():
    pixels = torch.zeros(5, 4, 4, dtype=torch.uint8)
    factors = {
        "azimuth": torch.tensor([0.0, 10.0, 10.0002, 20.0, 20.0]),
        "light": torch.tensor([5.0, 5.0004, 5.0, 5.0, 6.0]),
    }
    given_ = EvaluationSet(pixels, factors, torch.tensor([7, 7, 7, 7, 7]), {})
    a, b = given_.pairs("azimuth")
    pairs = {tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)}
    assert pairs == {(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)}
    other = EvaluationSet(pixels, factors, torch.arange(5), {})
    assert len(other.pairs("azimuth")[0]) == 0
    with pytest.raises(InputError, match="expected one of the factors azimuth, light"):
        given_.pairs("pose")


@pytest.mark.parametrize("side", [4, 8, 16])
def test_resizing_keeps_flat_images_flat_and_the_mean(side, faces):
    flat = EvaluationSet(
        torch.full((2, 8, 8), 77, dtype=torch.uint8), {}, torch.zeros(2, dtype=torch.int64), {}
    )
    assert torch.equal(flat.resized(side).pixels, torch.full((2, side, side), 77).byte())
    resized = faces.resized(side)
    assert resized.pixels.shape == (160, side, side)
    assert abs(resized.pixels.float().mean() - faces.pixels.float().mean()) < 1.5
