"""The store on disk: what was written is read, and damage is named in one line."""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.manifest import FILE
from pyro_dcign.datasets.minibatch import Block, Minibatch
from pyro_dcign.datasets.shard import write_shard
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import write_store
from pyro_dcign.errors import InputError

FACTORS = {"azimuth": FactorRange(-80.0, 80.0), "light": FactorRange(0.0, 360.0, (), 360.0)}


def made(seed, factors=FACTORS, counts=None, side=4, size=3):
    """Random (split, minibatch) pairs."""
    generator = torch.Generator().manual_seed(seed)
    counts = counts or {"train": 2, "test": 1}
    for split, count in counts.items():
        for varying in (*factors, "intrinsic"):
            for _ in range(count):
                yield (
                    split,
                    Minibatch(
                        torch.randint(256, (size, side, side), generator=generator).byte(),
                        varying,
                        {name: torch.rand(size, generator=generator) for name in factors},
                        torch.randint(2**40, (size,), generator=generator),
                    ),
                )


def same(a, b):
    return (
        a.varying == b.varying
        and torch.equal(a.pixels, b.pixels)
        and torch.equal(a.identity, b.identity)
        and list(a.factors) == list(b.factors)
        and all(torch.equal(a.factors[name], b.factors[name]) for name in a.factors)
    )


@pytest.fixture
def folder(tmp_path):
    write_store(tmp_path / "set", made(0), factors=FACTORS, recipe={"seed": 0})
    return tmp_path / "set"


@settings(max_examples=25)
@given(
    names=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), max_size=3, unique=True),
    side=st.integers(1, 9),
    size=st.integers(2, 5),
    count=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_a_store_gives_back_what_was_written(names, side, size, count, seed):
    factors = {name: FactorRange(0.0, 1.0) for name in names if name != "intrinsic"}
    given_ = list(made(seed, factors, {"train": count, "test": 1}, side, size))
    with tempfile.TemporaryDirectory() as where:
        store = write_store(Path(where) / "set", given_, factors=factors, recipe={})
        assert store.factors == factors
        assert (store.side, store.size) == (side, size)
        for split in ("train", "test"):
            wanted = [m for s, m in given_ if s == split]
            found = list(store.minibatches(split))
            assert len(found) == len(wanted)
            assert all(map(same, found, wanted))
        assert store.verify() == []


def test_types_span_several_shards(tmp_path):
    given_ = list(made(1, {}, {"train": 130}))
    store = write_store(tmp_path / "set", given_, factors={}, recipe={})
    assert [shard.minibatches for shard in store.manifest.shards["train"]] == [64, 64, 2]
    for index in (0, 63, 64, 129):
        assert same(store.minibatch("train", "intrinsic", index), given_[index][1])
    block = store.load("train")["intrinsic"]
    assert torch.equal(block.pixels, torch.stack([m.pixels for _, m in given_]))
    assert torch.equal(block.identity, torch.stack([m.identity for _, m in given_]))
    assert torch.equal(torch.cat([b.pixels for _, b in store.blocks("train")]), block.pixels)
    for index in (-1, 130):
        with pytest.raises(IndexError, match="130 minibatches"):
            store.minibatch("train", "intrinsic", index)


def test_the_same_minibatches_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_store(tmp_path / name, made(3), factors=FACTORS, recipe={"seed": 3})
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_code_has_one_latent_for_each_extrinsic_factor(folder):
    store = Store.open(folder)
    assert dict(store.code(10).sizes) == {"azimuth": 1, "light": 1, "intrinsic": 8}
    two = store.code(10, extrinsic={"light": 2})
    assert dict(two.sizes) == {"azimuth": 1, "light": 2, "intrinsic": 7}
    with pytest.raises(InputError, match="expected 3 or more latents"):
        store.code(2)
    with pytest.raises(InputError, match="no other factor"):
        store.code(10, extrinsic={"pose": 2})


def test_a_failing_source_leaves_nothing(tmp_path):
    def broken():
        yield from made(0)
        raise InputError("the source broke")

    with pytest.raises(InputError, match="the source broke"):
        write_store(tmp_path / "set", broken(), factors=FACTORS, recipe={})
    assert list(tmp_path.iterdir()) == []


def test_minibatches_of_two_shapes_are_refused(tmp_path):
    mixed = [*made(0), *made(0, side=5)]
    with pytest.raises(InputError, match="one shape"):
        write_store(tmp_path / "set", mixed, factors=FACTORS, recipe={})
    assert list(tmp_path.iterdir()) == []


def test_no_minibatches_are_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        write_store(tmp_path / "set", [], factors=FACTORS, recipe={})


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="absent or empty"):
        write_store(tmp_path / "set", made(0), factors=FACTORS, recipe={})
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "thesis.txt"]


def change(folder, **entries):
    manifest = json.loads((folder / FILE).read_text())
    manifest.pop("sha256", None)  # or every change would be found by it alone
    (folder / FILE).write_text(json.dumps({**manifest, **entries}))


def change_shard(folder, **entries):
    manifest = json.loads((folder / FILE).read_text())
    manifest.pop("sha256", None)
    manifest["shards"]["train"][0].update(entries)
    (folder / FILE).write_text(json.dumps(manifest))


def rewrite(folder, *, pixels=None, factors=None, identity=None):
    """Replace tensors of the first training shard, and its size in the manifest."""
    store = Store.open(folder)
    block = next(store.blocks("train"))[1]
    changed = Block(
        block.pixels if pixels is None else pixels(block.pixels),
        block.factors if factors is None else factors(block.factors),
        block.identity if identity is None else identity(block.identity),
    )
    shard = write_shard(folder / store.manifest.shards["train"][0].file, "azimuth", changed)
    change_shard(folder, bytes=shard.bytes, sha256=shard.sha256)


def append(folder):
    path = folder / "train-azimuth-00000.safetensors"
    path.write_bytes(path.read_bytes() + b"12345678")
    change_shard(folder, bytes=path.stat().st_size)


DAMAGE = {
    "no manifest": (lambda f: (f / FILE).unlink(), "found none"),
    "empty manifest": (lambda f: (f / FILE).write_text(""), "expected JSON"),
    "binary manifest": (lambda f: (f / FILE).write_bytes(b"\xff\xfe\0"), "expected JSON"),
    "deep manifest": (lambda f: (f / FILE).write_text("[" * 100_000), "expected JSON"),
    "a list": (lambda f: (f / FILE).write_text("[]"), "the key 'format'"),
    "another format": (lambda f: change(f, format="zip"), "expected format"),
    "a later version": (lambda f: change(f, version=2), "expected version 1"),
    "huge side": (lambda f: change(f, side=10**9), "side to be a whole number"),
    "side in words": (lambda f: change(f, side="64"), "side to be a whole number"),
    "side true": (lambda f: change(f, side=True), "side to be a whole number"),
    "other side": (lambda f: change(f, side=5), r"pixels as U8 \[2, 3, 5, 5\]"),
    "other size": (lambda f: change(f, size=4), "pixels as U8"),
    "NaN tolerance": (lambda f: change(f, tolerance=float("nan")), "the number NaN"),
    "factors missing": (lambda f: change(f, factors=[]), "varying to be one of intrinsic"),
    "factors no list": (lambda f: change(f, factors={}), "factors to be a list"),
    "bad factor name": (
        lambda f: change(f, factors=[{"name": "../x", "low": 0, "high": 1}]),
        "name to look like",
    ),
    "no test split": (lambda f: change(f, shards={"train": []}), "train and test"),
    "path traversal": (lambda f: change_shard(f, file="../x.safetensors"), "file to look like"),
    "absolute path": (lambda f: change_shard(f, file="/x.safetensors"), "file to look like"),
    "no such type": (lambda f: change_shard(f, varying="posture"), "varying to be one of"),
    "type of another": (lambda f: change_shard(f, minibatches=7), "pixels as U8"),
    "no minibatches": (lambda f: change_shard(f, minibatches=0), "minibatches to be"),
    "shard gone": (lambda f: (f / "train-azimuth-00000.safetensors").unlink(), "found none"),
    "shard a folder": (
        lambda f: [
            (f / "train-azimuth-00000.safetensors").unlink(),
            (f / "train-azimuth-00000.safetensors").mkdir(),
        ],
        "bytes, found",
    ),
    "shard truncated": (
        lambda f: (f / "train-azimuth-00000.safetensors").write_bytes(b"x" * 20),
        "bytes, found 20",
    ),
    "shard of text": (
        lambda f: [
            (f / "train-azimuth-00000.safetensors").write_bytes(b"x" * 200),
            change_shard(f, bytes=200),
        ],
        "safetensors header",
    ),
    "shard with a header of nonsense": (
        lambda f: [
            (f / "train-azimuth-00000.safetensors").write_bytes(b"\x08" + b"\0" * 7 + b"x" * 92),
            change_shard(f, bytes=100),
        ],
        "header in JSON",
    ),
    "bytes after the tensors": (append, "end to end"),
    "pixels of floats": (lambda f: rewrite(f, pixels=lambda p: p.float()), "pixels as U8"),
    "identity of int32": (lambda f: rewrite(f, identity=lambda i: i.int()), "identity as I64"),
    "one factor less": (lambda f: rewrite(f, factors=lambda x: x[..., :1]), "factors as F32"),
}


# jaxtyping would stop Block's wrong shapes before the store sees them; Block is a plain tuple.
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_line(folder, name):
    damage, message = DAMAGE[name]
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        Store.open(folder)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value), "names no remedy"


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected a data folder"):
        Store.open(tmp_path / "nowhere")


def test_a_changed_byte_is_found_by_verify(folder):
    path = folder / "train-light-00000.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert Store.open(folder).verify() == [path.name]


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_byte_of_a_header_is_read_or_one_line(data):
    """Never another exception than the one that users see."""
    name = data.draw(st.sampled_from([FILE, "test-azimuth-00000.safetensors"]))
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where) / "set"
        write_store(folder, made(0), factors=FACTORS, recipe={"seed": 0})
        content = bytearray((folder / name).read_bytes())
        content[data.draw(st.integers(0, min(len(content), 300) - 1))] ^= data.draw(
            st.integers(1, 255)
        )
        (folder / name).write_bytes(content)
        try:
            store = Store.open(folder)
            assert len(list(store.minibatches("test"))) == 3
        except InputError:
            pass
