"""Files from strangers: none swells, hangs, runs code, or is silently read damaged."""

import json
import os
import pickle
import random
import struct
import zipfile
import zlib
from importlib import import_module
from pathlib import Path

import foreign
import fuzzing
import numpy as np
import pytest
import torch
from PIL import Image
from test_fuzzing import READERS, import_all
from test_store import FACTORS, made

from pyro_dcign.datasets.labelled import read_npz
from pyro_dcign.datasets.readers import KINDS, cars3d
from pyro_dcign.datasets.readers.pictures import picture
from pyro_dcign.datasets.readers.torch7 import read_tensor
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import write_store
from pyro_dcign.errors import InputError
from pyro_dcign.files import hdf5
from pyro_dcign.files.picture import read_picture
from pyro_dcign.files.untrusted import MEMORY, parse_json
from pyro_dcign.scenes.basel import read_basel
from pyro_dcign.scenes.ict import read_obj

linux = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")


# --- damage --------------------------------------------------------------------------------------


def damaged_places(folder, places, seed):
    """Flip a byte or cut a file at random places of a store, one at a time, and undo it."""
    rng = random.Random(seed)
    files = sorted(folder.iterdir())
    for place in range(places):
        # The manifest and the shards in turn, each as often as its size asks, or half of the time.
        path = rng.choices(files, [1 if place % 2 else p.stat().st_size for p in files])[0]
        sound = path.read_bytes()
        at = rng.randrange(len(sound))
        changed = bytearray(sound)
        if rng.random() < 0.5:
            changed[at] ^= rng.randrange(1, 256)
            path.write_bytes(changed)
        else:
            path.write_bytes(changed[:at])
        yield path
        path.write_bytes(sound)


def read_all(folder):
    store = Store.open(folder)
    for split in ("train", "test"):
        store.load(split)


@pytest.mark.parametrize(
    "places", [60, pytest.param(1000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_byte_flipped_or_a_file_cut_is_found_and_named(places, tmp_path):
    folder = tmp_path / "set"
    write_store(folder, made(0, side=8), factors=FACTORS, recipe={"seed": 0})
    found = 0
    for path in damaged_places(folder, places, seed=places):
        with pytest.raises(InputError) as caught:
            read_all(folder)
        assert path.name in str(caught.value)
        found += 1
    assert found == places
    read_all(folder)


def test_a_digit_that_changed_in_a_manifest_is_found(tmp_path):
    folder = tmp_path / "set"
    write_store(folder, made(0), factors=FACTORS, recipe={"seed": 0})
    path = folder / "manifest.json"
    text = path.read_text()
    assert '"low": -80.0' in text
    path.write_text(text.replace('"low": -80.0', '"low": -70.0'))
    with pytest.raises(InputError, match="its sha256 does not fit"):
        Store.open(folder)


@pytest.fixture
def flipped(tmp_path):
    """A store of which one pixel changed."""
    folder = tmp_path / "set"
    write_store(folder, made(0), factors=FACTORS, recipe={"seed": 0})
    path = folder / "train-light-00000.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return folder


@pytest.mark.parametrize(
    "read",
    [
        lambda s: s.load("train"),
        lambda s: list(s.blocks("train")),
        lambda s: s.minibatch("train", "light", 0),
        lambda s: s.identities("train"),
    ],
    ids=["load", "blocks", "minibatch", "identities"],
)
def test_no_way_of_reading_gives_a_damaged_shard(read, flipped):
    store = Store.open(flipped)
    with pytest.raises(InputError, match=r"train-light-00000\.safetensors: expected the bytes"):
        read(store)
    store.load("test")


def test_a_check_names_a_damaged_shard_and_goes_on(flipped, run):
    status, out, err = run("data", "check", flipped, "--json")
    assert status == 2
    assert json.loads(out)["problems"][0].startswith("train-light-00000.safetensors: its bytes")
    assert err.count("\n") == 1


def test_a_damaged_shard_is_not_trained_on(flipped, run, tmp_path):
    status, _, err = run("fit", "--data", flipped, "--preset", "small", "--out", tmp_path / "run")
    assert status == 2
    assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1


def test_a_manifest_of_before_digests_is_read(tmp_path):
    folder = tmp_path / "set"
    write_store(folder, made(0), factors=FACTORS, recipe={"seed": 0})
    path = folder / "manifest.json"
    old = json.loads(path.read_text())
    del old["sha256"]
    path.write_text(json.dumps(old))
    read_all(folder)


# --- bombs ---------------------------------------------------------------------------------------


def raw_zip(path, name, content, *, claims, method=8, entries=1, rest=None):
    """A ZIP archive whose members claim to inflate to so many bytes."""
    body, listed = b"", b""
    for one, data, size in ((name, content, claims), *((rest,) if rest else ())):
        packed = zlib.compress(data)[2:-4] if method == 8 else data
        large = struct.pack("<HHQQ", 1, 16, size, len(packed))
        sizes = struct.pack("<III", zlib.crc32(data), 2**32 - 1, 2**32 - 1)
        label, at = one.encode(), len(body)
        body += b"PK\3\4" + struct.pack("<HHHHH", 45, 0, method, 0, 0) + sizes
        body += struct.pack("<HH", len(label), len(large)) + label + large + packed
        entry = b"PK\1\2" + struct.pack("<HHHHHH", 45, 45, 0, method, 0, 0) + sizes
        entry += struct.pack("<HHHHHII", len(label), len(large), 0, 0, 0, 0, at) + label + large
        listed += entry * entries
    n = entries * (2 if rest else 1) % 65536
    end = struct.pack("<HHHHIIH", 0, 0, n, n, len(listed), len(body), 0)
    path.write_bytes(body + listed + b"PK\5\6" + end)
    return path


def npy(shape, kind="|u1", version=1, length=None):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = len(text) if length is None else length
    head = b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little")
    return head + text


def npz_of(folder, shape, kind="|u1"):
    """Images that are not there, but are said to be; identities come first in the file."""
    head = npy(shape, kind)
    claims = len(head) + int(np.prod(shape, dtype=float))
    who = npy(shape[:1], "<i8")
    rest = ("identity.npy", who, len(who) + 8 * shape[0])
    return raw_zip(folder / "set.npz", "images.npy", head, claims=claims, rest=rest)


def zeros(size, head=b""):
    """So many zeros after a head, deflated a thousand to one; the checksum at the end is wrong."""
    packer = zlib.compressobj(1)
    begun = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return begun + block * (size // 2**24) + packer.flush()


def swelling_chunk(folder):
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        options = {"chunks": (4, 64, 64, 3), "compression": "gzip"}
        file.create_dataset("images", (8, 64, 64, 3), np.uint8, **options)
        file["images"].id.write_direct_chunk((0, 0, 0, 0), zeros(5 * 2**28))
        values = np.zeros((8, 6))
        values[:, 4], values[:, 5] = np.arange(8) // 2, np.arange(8) % 2
        values[:, 3] = np.arange(8) % 2
        file["labels"] = values
    return folder / "a.h5"


def swelling_mat(folder, name, shape, *, says):
    data = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<II", 5, 4 * len(shape))
    data += struct.pack(f"<{len(shape)}i", *shape) + b"\0" * (-4 * len(shape) % 8)
    data += struct.pack("<II", 1, len(name)) + name + b"\0" * (-len(name) % 8)
    data += struct.pack("<II", 2, says)
    packed = zeros(3 * 2**29, struct.pack("<II", 14, 2**31) + data)
    head = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
    content = head + struct.pack("<II", 15, len(packed)) + packed
    path = folder / "car.mat"
    path.write_bytes(content)
    return path


def png(folder, *chunks, width=8, height=8):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (9 * 8))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    path = folder / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def tiff_tags(folder):
    """A TIFF of 30 MB that is one list of 16-bit numbers, the places of its strips."""
    count = 15_000_000
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 3, count, 200), (277, 3, 1, 1), (278, 3, 1, 8), (279, 3, count, 200)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path = folder / "a.tif"
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8) + body + bytes(4))
        file.seek(200)
        file.write(np.arange(count, dtype="<u2").tobytes())
    return path


def sparse(path, size, head=b""):
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def manifest(folder, content):
    (folder / "set").mkdir()
    (folder / "set" / "manifest.json").write_bytes(content)
    return folder / "set"


def table(folder, content):
    (folder / "factors.csv").write_bytes(content)
    return folder


def obj(folder, content):
    (folder / "a.obj").write_bytes(content)
    return folder / "a.obj"


def long_header(folder):
    write_store(folder / "set", made(0), factors=FACTORS, recipe={})
    path = folder / "set" / "train-azimuth-00000.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])
    return folder / "set"


BOMBS = {
    "npz of terabytes": (lambda f: npz_of(f, (2_000_000, 1024, 1024)), read_npz),
    "npz of 4 GB of dots": (lambda f: npz_of(f, (4 * 10**9, 1, 1)), read_npz),
    "npz to import": (lambda f: npz_of(f, (2_000_000, 9000, 9000)), lambda p: import_all("npz", p)),
    "npz with a long header": (
        lambda f: raw_zip(
            f / "a.npz", "images.npy", npy((1,), version=2, length=2**32 - 1), claims=2**33
        ),
        read_npz,
    ),
    "npz with many members": (
        lambda f: raw_zip(f / "a.npz", "images.npy", b"", claims=0, entries=300_000),
        read_npz,
    ),
    "npz in LZMA": (
        lambda f: raw_zip(f / "a.npz", "images.npy", b"\0" * 99, claims=99, method=14),
        read_npz,
    ),
    "chunk of HDF5": (swelling_chunk, lambda p: import_all("3dshapes", p)),
    "mat that says more": (
        lambda f: swelling_mat(f, b"im", (8, 8, 3, 24, 4), says=3 * 2**29),
        cars3d._load,
    ),
    "mat of a large shape": (
        lambda f: swelling_mat(f, b"im", (2**15, 2**15, 3, 24, 4), says=2**31),
        lambda p: import_all("cars3d", p.parent),
    ),
    "mat for Basel": (lambda f: swelling_mat(f, b"shapeMU", (2**30, 1), says=2**30), read_basel),
    "picture of many pixels": (lambda f: png(f, width=60_000, height=60_000), picture),
    "picture of many pixels to render": (
        lambda f: png(f, width=2**31 - 1, height=1),
        lambda p: read_picture(p, 8),
    ),
    "picture that ends early": (lambda f: png(f, width=7000, height=7000), picture),
    "text in a picture": (
        lambda f: png(f, *[(b"zTXt", b"a\0\0" + zeros(2**28))] * 8),
        lambda p: read_picture(p, 8),
    ),
    "profile in a picture": (
        lambda f: png(f, (b"iCCP", b"a\0\0" + zeros(3 * 2**29)), (b"xxxx", b"")),
        picture,
    ),
    "tags of a TIFF": (tiff_tags, picture),
    "large picture file": (lambda f: sparse(f / "a.png", 2**38), lambda p: read_picture(p, 8)),
    "large Torch7 file": (lambda f: sparse(f / "batch1", 2**38), read_tensor),
    "line of commas": (lambda f: table(f, b"," * 2**26), lambda p: import_all("folder", p)),
    "quoted lines": (
        lambda f: table(f, b'file,identity,a\n"' + b'\na","' * 2**24),
        lambda p: import_all("folder", p),
    ),
    "large table": (
        lambda f: sparse(f / "factors.csv", 2**38, b"file,identity,a\n").parent,
        lambda p: import_all("folder", p),
    ),
    "polygon of many corners": (lambda f: obj(f, b"f" + b" 1" * 2**24), read_obj),
    "many polygons": (lambda f: obj(f, (b"f" + b" 1" * 1000 + b"\n") * 2**14), read_obj),
    "many corners": (lambda f: obj(f, b"v 0 0 0\n" * 2**23), read_obj),
    "large OBJ": (lambda f: sparse(f / "a.obj", 2**38), read_obj),
    "manifest of lists": (lambda f: manifest(f, b"[" + b"[]," * 1_000_000 + b"[]]"), Store.open),
    "manifest in depth": (lambda f: manifest(f, b'{"a":' * 10**6), Store.open),
    "large manifest": (
        lambda f: sparse(manifest(f, b"") / "manifest.json", 2**38).parent,
        Store.open,
    ),
    "shard of a long header": (long_header, Store.open),
    "large TIFF": (lambda f: sparse(f / "a.tif", 2**26, b"II*\0"), picture),
    "picture of 60 megapixels": (lambda f: png(f, width=6_000, height=10_000), picture),
}
SAYS = {
    "npz of terabytes": "at most 4294967296 bytes",
    "npz of 4 GB of dots": "1 to 2000000 images",
    "npz to import": "8192 pixels a side",
    "npz with a long header": "npy of version 1",
    "npz with many members": "a list of its members",
    "npz in LZMA": "method 14",
    "chunk of HDF5": "undamaged HDF5",
    "mat that says more": "bytes of im",
    "mat of a large shape": "H and W up to 256",
    "mat for Basel": "numbers called",
    "picture of many pixels": "undamaged picture",
    "picture of many pixels to render": "undamaged picture",
    "picture that ends early": "undamaged picture",
    "large picture file": "picture of up to 100 MB",
    "large Torch7 file": "at most 67108864 bytes",
    "line of commas": "a line of 65536",
    "quoted lines": "comma-separated",
    "large table": "at most 268435456",
    "polygon of many corners": "a line of 4096",
    "many polygons": "too many polygons",
    "many corners": "more than 26719 vertices",
    "large OBJ": "at most 67108864",
    "manifest of lists": "an object with the key",
    "manifest in depth": "nested too deeply",
    "large manifest": "at most 8388608",
    "shard of a long header": "safetensors header",
    "large TIFF": "TIFF of up to 32 MB",
    "picture of 60 megapixels": "up to 50 megapixels",
}
"""What the refusal says; files that are not named are read, and what swells in them left out."""


@linux
@pytest.mark.parametrize("name", BOMBS)
def test_no_file_swells(name, tmp_path):
    write, read = BOMBS[name]
    path = write(tmp_path)

    def work():
        try:
            read(path)
        except InputError as error:
            return {"refused": str(error)}
        return {}

    end = fuzzing.in_child(work)
    assert end.signal == 0
    assert "error" not in end.said, end.said
    assert end.memory < MEMORY
    assert SAYS.get(name, "") in end.said.get("refused", "")


def test_libtiff_has_no_say(tmp_path, capfd):
    READERS["pictures to import"].write(tmp_path)
    path = tmp_path / "zip.tif"
    content = bytearray(path.read_bytes())
    content[8:40] = bytes(32)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"zip\.tif"):
        picture(path)
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@linux
@pytest.mark.slow
def test_the_largest_picture_keeps_within_the_limit(tmp_path):
    Image.new("RGBA", (7000, 7000), (9, 99, 199, 128)).save(tmp_path / "a.png", compress_level=1)
    for read in (picture, lambda p: read_picture(p, 8)):
        end = fuzzing.in_child(lambda read=read: read(tmp_path / "a.png") and None)
        assert end.memory < MEMORY


# --- pipes and links -----------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("name", READERS)
def test_a_pipe_in_a_files_place_is_not_waited_for(name, tmp_path, monkeypatch):
    reader = READERS[name]
    monkeypatch.setattr(
        import_module("pyro_dcign.datasets.readers.mpi3d"), "GRID", foreign.SMALL_MPI3D
    )

    def work():
        reader.write(tmp_path)
        path = next(p for p in sorted(tmp_path.rglob(reader.files[0])) if p.is_file())
        path.unlink()
        os.mkfifo(path)
        try:
            reader.read(tmp_path)
        except InputError as error:
            return {"refused": str(error)}
        return {}

    end = fuzzing.in_child(work, seconds=20)
    assert end.signal == 0
    assert "refused" in end.said, end.said


def to_another_file(kind, path):
    import h5py

    values = np.zeros((12, 6))
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["labels"] = values
    with h5py.File(path, "r+") as file:
        del file["labels"]
        if kind == "external link":
            file["labels"] = h5py.ExternalLink("other.h5", "labels")
        elif kind == "soft link":
            file["labels"] = h5py.SoftLink("/images")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "labels", values.shape)
            file.create_virtual_dataset("labels", layout)
        else:
            where = [(str(path.with_name("other.h5")), 0, values.nbytes)]
            file.create_dataset("labels", values.shape, values.dtype, external=where)


@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "external storage"])
def test_hdf5_does_not_read_another_file(kind, tmp_path):
    READERS["3dshapes"].write(tmp_path)
    to_another_file(kind, tmp_path / "plain.h5")
    with pytest.raises(InputError, match=r"a link at labels|of another file at labels"):
        import_all("3dshapes", tmp_path / "plain.h5")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("_serve(sys.argv[1]", "import os; os.kill(os.getpid(), 11); (sys.argv[1]"), "signal 11"),
        (("_limit_time()\n    try:", "_limit_time()\n    while True: pass\n    try:"), "signal 24"),
    ],
    ids=["crashes", "runs in circles"],
)
def test_a_file_that_ends_the_hdf5_library_is_one_line(change, says, tmp_path, monkeypatch):
    READERS["3dshapes"].write(tmp_path)
    text = hdf5._SCRIPT.read_text().replace("SECONDS = 60", "SECONDS = 1")
    assert change[0] in text
    (tmp_path / "process.py").write_text(text.replace(*change))
    monkeypatch.setattr(hdf5, "_SCRIPT", tmp_path / "process.py")
    with pytest.raises(InputError, match=says):
        import_all("3dshapes", tmp_path / "plain.h5")


# --- code ----------------------------------------------------------------------------------------


class Mark:
    """Leaves a mark where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled(mark, folder):
    """The same payload in every wrapping that Python's tools load."""
    found = {}
    for name, write in {
        "pickle": lambda p: p.write_bytes(pickle.dumps(mark)),
        "torch": lambda p: torch.save({"params": mark}, p),
        "old torch": lambda p: torch.save(mark, p, _use_new_zipfile_serialization=False),
        "npz": lambda p: np.savez(p, **{n: np.array([mark]) for n in NPZ}),
        "npy": lambda p: np.save(p, np.array([mark])),
    }.items():
        found[name] = folder / f"payload.{name}"
        write(found[name])
    return found


NPZ = ("images", "identity", "factor_a", "imgs", "latents_values", "metadata")
PLACES = {
    "render a picture": lambda p, f: ["render", p],
    "render a run": lambda p, f: ["render", "docs/face.png", "--run", p],
    "evaluate a run": lambda p, f: ["evaluate", p],
    "evaluate on": lambda p, f: [
        "evaluate",
        import_module("pyro_dcign.runs").default_run(),
        "--data",
        p,
    ],
    "check a run": lambda p, f: ["check", p],
    "check data": lambda p, f: ["data", "check", p],
    "show data": lambda p, f: ["data", "show", p],
    "fit on data": lambda p, f: ["fit", "--data", p, "--out", f / "run"],
    "fit a config": lambda p, f: ["fit", "--config", p, "--out", f / "run"],
    "resume": lambda p, f: ["fit", "--resume", p],
    "Basel mat": lambda p, f: ["data", "make", "faces", f / "out", "--bfm", named(p, f, "m.mat")],
    "Basel h5": lambda p, f: ["data", "make", "faces", f / "out", "--bfm", named(p, f, "m.h5")],
    "ICT": lambda p, f: ["data", "make", "faces", f / "out", "--ict", f],
    **{
        f"import {kind}": lambda p, f, kind=kind: ["data", "import", kind, p, f / "out"]
        for kind in KINDS
    },
}


def named(path, folder, name):
    (folder / name).write_bytes(path.read_bytes())
    return folder / name


@pytest.mark.parametrize("place", PLACES)
def test_no_payload_runs(place, tmp_path, run, monkeypatch):
    mark = tmp_path / "mark"
    (tmp_path / "work").mkdir()
    for name, path in pickled(Mark(mark), tmp_path).items():
        arguments = PLACES[place](path, tmp_path / "work")
        status, _, err = run(*arguments)
        assert status == 2, name
        assert err.splitlines()[-1].startswith("Error: "), name
        assert not mark.exists(), name
    pickle.loads((tmp_path / "payload.pickle").read_bytes())
    assert mark.exists()  # the payload does what it is feared to


def test_payloads_within_sound_files_do_not_run(tmp_path):
    import h5py
    from scipy.io import savemat

    mark = Mark(tmp_path / "mark")
    arrays = foreign.dsprites_arrays()
    np.savez(tmp_path / "a.npz", **arrays, metadata=np.array([mark]))
    import_all("dsprites", tmp_path / "a.npz")
    READERS["3dshapes"].write(tmp_path)
    with h5py.File(tmp_path / "plain.h5", "r+") as file:
        file.attrs["payload"] = np.void(pickle.dumps(mark))
        file["labels"].attrs["dtype"] = np.void(pickle.dumps(mark))
        file["payload"] = np.void(pickle.dumps(mark))
    import_all("3dshapes", tmp_path / "plain.h5")
    (tmp_path / "cars").mkdir()
    READERS["cars3d"].write(tmp_path / "cars")
    images = np.zeros((6, 5, 3, 24, 4), np.uint8)
    inner = np.frombuffer(pickle.dumps(mark), np.uint8)
    savemat(
        tmp_path / "cars" / "car_0.mat",
        {"payload": np.array([[inner]], object), "s": {"x": inner}, "im": images},
    )
    import_all("cars3d", tmp_path / "cars")
    assert not (tmp_path / "mark").exists()


def test_modules_beside_a_file_are_not_imported(tmp_path, monkeypatch):
    """A folder of downloads may hold a numpy.py."""
    READERS["3dshapes"].write(tmp_path)
    for name in ("numpy", "h5py", "json", "code", "resource"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    import_all("3dshapes", Path("plain.h5"))
    assert not (tmp_path / "mark").exists()


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": 1' + "0" * 400 + "}",
        "[" * 33 + "]" * 33,
        "[" * 10**6,
        "",
        b"\xff\xfe\0",
    ],
    ids=["twice", "NaN", "infinity", "beyond", "digits", "deep", "deeper", "empty", "bytes"],
)
def test_absurd_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_plain_json_is_read():
    assert parse_json('{"a": [1, -2.5, null, true, "é"]}') == {"a": [1, -2.5, None, True, "é"]}


def test_an_error_is_one_line_without_control_characters():
    assert str(InputError("a\x1b[31m\nb\ufeff")) == "a?[31m b?"


def test_a_zip_with_a_list_of_its_own_length_is_a_zip(tmp_path):
    """The hand-made archives above are refused for what they claim, not for how they are made."""
    content = npy((1, 2, 2)) + b"\1\2\3\4"
    path = raw_zip(tmp_path / "a.npz", "images.npy", content, claims=len(content))
    with zipfile.ZipFile(path) as archive:
        assert archive.read("images.npy") == content
