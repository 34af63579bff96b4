"""Fuzzing: valid files of a kind, mutated, and read in child processes that may die of them.

A test calls :func:`fuzz`; the long run is

    PYRO_DCIGN_FUZZ_INPUTS=100000 PYRO_DCIGN_FUZZ_SECONDS=600 pytest -m slow tests/test_fuzzing.py
"""

import json
import os
import random
import resource
import shutil
import signal
import struct
import time
import traceback
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pyro_dcign.errors import InputError
from pyro_dcign.files.untrusted import MEMORY

BATCH = 2000
"""Inputs of a child process."""

VARIANTS = 8
"""Inputs that are made of one example of hypothesis, which costs more than most of them."""


# --- a child process, its end and its memory -----------------------------------------------------


@dataclass
class End:
    """How a child process ended: what it said, the signal that killed it, and its peak memory."""

    said: dict = field(default_factory=dict)
    signal: int = 0
    memory: int = 0


def in_child(work, *, seconds=60):
    """Run ``work() -> dict`` in a fork: warnings are errors, memory is limited and measured."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            _begin(seconds)
            before = _peak()
            try:
                said = work() or {}
            except BaseException:
                said = {"error": traceback.format_exc()}
            text = json.dumps({"said": said, "memory": _peak() - before})
            with os.fdopen(writer, "w") as out:
                out.write(text)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as out:
        text = out.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return End(signal=os.WTERMSIG(status))
    return End(**json.loads(text)) if text else End(said={"error": f"status {status}"})


def _begin(seconds):
    # PyTorch's pool of threads does not live on in a fork.
    torch.set_num_threads(1)
    warnings.resetwarnings()
    warnings.simplefilter("error")
    signal.alarm(seconds)  # whatever hangs is killed, and named
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 4 * MEMORY, taken + 4 * MEMORY))


def _peak():
    """Most memory that this process has had, and what its own children had beyond a Python's."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + max(0, theirs - 200 * 1024)) * 1024


# --- mutations -----------------------------------------------------------------------------------

NUMBERS = [0, 1, -1, 2, 7, 8, 127, 128, 255, 256, 4096, 65535, 65536, 2**24, 2**31 - 1, 2**31]
NUMBERS += [-(2**31), 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63)]
VALUES = [*NUMBERS, 10**400, 1e308, -0.5, 1e-320, True, None, "", "\x1b[31m", "../../x", "\ud800"]
VALUES += ["x" * 5000, [], {}, [[]] * 3, {"a": {"b": []}}, "__deep__", "__nan__"]
WORDS = [
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "1e999",
    "1e308",
    "9" * 400,
    "\x00",
    "../x",
    "/etc/passwd",
    "/",
]
WORDS += ['"', '""', "\ufeff", "a" * 70000, "1/2/3", "0x10", "1_0", "é", "\r", ",,,", "\\"]


def where(data, rng):
    """A position, as often in the head as anywhere."""
    return rng.randrange(min(len(data), 600) if rng.random() < 0.5 else len(data))


def flip(data, rng):
    data[where(data, rng)] ^= 1 << rng.randrange(8)
    return data


def byte(data, rng):
    data[where(data, rng)] = rng.randrange(256)
    return data


def number(data, rng):
    form = rng.choice(["<h", "<i", "<q", ">h", ">i", ">q", "<d", "<f"])
    value = rng.choice(NUMBERS) if form[1] in "hiq" else rng.choice([float("nan"), 1e300, -1.0])
    size = struct.calcsize(form)
    if form[1] in "hiq":
        packed = (value & (256**size - 1)).to_bytes(size, "little" if form[0] == "<" else "big")
    else:
        packed = struct.pack(form, value if form != "<f" or value < 1e38 else float("inf"))
    at = where(data, rng)
    at -= at % rng.choice([1, 2, 4, 8])
    data[at : at + size] = packed
    return data


def cut(data, rng):
    return data[: where(data, rng)]


def splice(data, rng):
    a, b = where(data, rng), where(data, rng)
    length = rng.choice([1, 4, 8, 64, 1024])
    data[a : a + rng.choice([0, length])] = data[b : b + length]
    return data


def remove(data, rng):
    at = where(data, rng)
    del data[at : at + rng.choice([1, 2, 4, 8, 100])]
    return data


def repeat(data, rng):
    at = where(data, rng)
    data[at:at] = data[at : at + rng.choice([1, 4, 100])] * rng.choice([2, 100])
    return data


def wipe(data, rng):
    at, length = where(data, rng), rng.choice([4, 16, 512])
    data[at : at + length] = bytes([rng.choice([0, 255])]) * len(data[at : at + length])
    return data


GENERIC = (flip, byte, number, cut, splice, remove, repeat, wipe)


def in_json(data, rng):
    """One entry of a JSON text replaced, removed, or named twice."""
    tree = json.loads(bytes(data))
    spots = []

    def walk(found):
        items = found.items() if isinstance(found, dict) else enumerate(found)
        for key, value in items:
            spots.append((found, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(tree)
    where_, key = rng.choice(spots)
    how = rng.randrange(8)
    if how == 0:
        del where_[key]
    elif how == 1 and isinstance(where_, dict):
        where_[rng.choice(["sha256", "extra", "\x1b", "low"])] = rng.choice(VALUES)
    else:
        where_[key] = rng.choice(VALUES)
    text = json.dumps(tree).replace('"__nan__"', rng.choice(["NaN", "-Infinity", "1e999"]))
    text = text.replace('"__deep__"', "[" * 3000 + "]" * 3000)
    if rng.random() < 0.1:
        text = text.replace("{", '{"format": 1, "format": 2, ', 1)
    return bytearray(text.encode())


def in_safetensors(data, rng):
    """An entry of the header, whose length is mended."""
    size = int.from_bytes(data[:8], "little")
    head = in_json(data[8 : 8 + size], rng)
    return bytearray(len(head).to_bytes(8, "little")) + head + data[8 + size :]


def in_text(data, rng):
    """One word or line of a table replaced."""
    text = bytes(data).decode("utf-8", "replace")
    lines = text.split("\n")
    row = rng.randrange(min(len(lines), 4) if rng.random() < 0.5 else len(lines))
    how = rng.randrange(5)
    if how == 0:
        lines.insert(row, lines[row] * rng.choice([1, 50]))
    elif how == 1:
        lines[row] = rng.choice(WORDS)
    else:
        comma = "," if "," in lines[row] else " "
        words = lines[row].split(comma)
        words[rng.randrange(len(words))] = rng.choice(WORDS)
        lines[row] = comma.join(words)
    return bytearray("\n".join(lines).encode("utf-8", "replace"))


def in_png(data, rng):
    """A byte or number of one chunk, whose checksum is mended."""
    at, chunks = 8, []
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((at, size))
        at += 12 + size
    if data[:4] != b"\x89PNG" or not chunks:
        return flip(data, rng)
    at, size = rng.choice(chunks)
    inner = bytearray(data[at + 4 : at + 8 + size])
    for _ in range(rng.choice([1, 3])):
        inner = rng.choice([flip, byte, number])(inner, rng)
    crc = struct.pack(">I", zlib.crc32(inner))
    head = struct.pack(">I", len(inner) - 4)
    return data[:at] + head + inner + crc + data[at + 12 + size :]


def in_zip(data, rng):
    """An archive written anew with one header, name, method or content changed."""
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as old, zipfile.ZipFile(out, "w") as new:
        infos = old.infolist()
        chosen = rng.randrange(len(infos))
        for k, info in enumerate(infos):
            content, name = bytearray(old.read(info)), info.filename
            method = info.compress_type
            if k == chosen:
                how = rng.randrange(6)
                if how == 0:
                    name = rng.choice(
                        ["factor_../x.npy", "images.npy", "\x1b.npy", "x" * 300, "a/b.npy"]
                    )
                elif how == 1:
                    method = rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 8, 0])
                elif how == 2:
                    content = rng.choice(GENERIC)(content, rng)
                else:
                    content = _npy(content, rng)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a name that comes twice
                new.writestr(name, bytes(content), method)
    return bytearray(out.getvalue())


def _npy(content, rng):
    size = int.from_bytes(content[8:10], "little")
    kind = rng.choice(
        ["|u1", "<f8", "<i8", "|O", "<U9", ">f4", "<f2", "<u8", "|b1", "<M8[s]", "i1"]
    )
    shape = [abs(rng.choice(NUMBERS)) for _ in range(rng.randrange(5))]
    if rng.random() < 0.5:
        shape, kind = [rng.choice([96, 180, 72, 0]), *shape[1:2]], rng.choice([kind, "|u1"])
    order = rng.choice(["True", "False", "1"])
    sizes = "".join(f"{n}, " for n in shape)
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({sizes}), }}\n"
    text = rng.choice([text, text, "[" * 200, "\\d" + text, text.replace("'", "")])
    version = rng.choice([b"\1\0", b"\1\0", b"\2\0", b"\3\0"])
    width = 2 if version == b"\1\0" else 4
    length = rng.choice([len(text), len(text), 2 ** (8 * width) - 1])
    return (
        content[:6]
        + version
        + length.to_bytes(width, "little")
        + text.encode()
        + content[10 + size :]
    )


def in_mat(data, rng):
    """A change within a compressed element, or in the plain ones."""
    at = 128
    spots = []
    while at + 8 <= len(data):
        kind, size = struct.unpack("<II", data[at : at + 8])
        spots.append((at, kind, size))
        at += 8 + size
    at, kind, size = rng.choice(spots)
    inner = bytearray(data[at + 8 : at + 8 + size])
    if kind == 15:
        inner = bytearray(zlib.decompress(inner))
    head = inner[:64]
    head = rng.choice([flip, byte, number, splice])(head, rng)
    inner = head + inner[64:]
    if kind == 15:
        inner = bytearray(zlib.compress(bytes(inner)))
    return data[:at] + struct.pack("<II", kind, len(inner)) + inner + data[at + 8 + size :]


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 2**32 - 1)), min_size=1, max_size=4
)


def mutated(data, operations, edits):
    """A file's bytes after some operations; those of its own kind come first, on sound bytes."""
    data = bytearray(data)
    for step, (choice, state) in enumerate(operations):
        rng = random.Random(state)
        if step == 0 and edits and choice < 60:
            data = edits[choice % len(edits)](data, rng)
        elif data:
            data = GENERIC[choice % len(GENERIC)](data, rng)
    return bytes(data)


# --- the run -------------------------------------------------------------------------------------


@dataclass
class Reader:
    """What is fuzzed: ``write(folder)`` gives sound files, ``read(folder, name)`` reads them.

    It reads all of them, or only the one of that name, which is the one that was mutated.

    Attributes:
        edits: Mutations of the file's own structure, by the end of its name; "" is of any.
        mend: Called with the folder after a mutation: makes outer checksums fit again.
    """

    write: object
    read: object
    files: tuple = ("*",)
    edits: dict = field(default_factory=dict)
    mend: object = None


@dataclass
class Tally:
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    memory: int = 0
    reasons: Counter = field(default_factory=Counter)

    def __str__(self):
        return (
            f"{self.inputs} inputs, {self.refused} refused, {self.seconds:.0f} s, "
            f"{self.memory / 2**20:.0f} MB more than before at most"
        )


def fuzz(reader, folder, *, inputs, seconds, first=0):
    """Read mutated files until there were so many or the time is up.

    Raises:
        AssertionError: An input ended in anything but success or InputError, killed its process,
            or took more memory than is promised; it is kept in ``folder``/killer.
    """
    sound, scratch = folder / "sound", folder / "scratch"
    sound.mkdir()
    reader.write(sound)
    seeds = sorted(p for glob in reader.files for p in sound.rglob(glob) if p.is_file())
    names = [str(p.relative_to(sound)) for p in seeds]
    began, tally, batch = time.monotonic(), Tally(), first
    while tally.inputs < inputs and time.monotonic() - began < seconds:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(sound, scratch)
        number = min(BATCH, inputs - tally.inputs)
        left = seconds - (time.monotonic() - began)
        work = partial(_batch, reader, sound, scratch, names, batch, number, left)
        end = in_child(work, seconds=900)
        tally.inputs += end.said.get("inputs", 0)
        tally.refused += end.said.get("refused", 0)
        tally.memory = max(tally.memory, end.memory)
        tally.reasons.update(end.said.get("reasons", {}))
        if end.signal or end.said.get("error"):
            killer = folder / "killer"
            shutil.rmtree(killer, ignore_errors=True)
            shutil.copytree(scratch, killer)
            how = f"signal {end.signal}" if end.signal else end.said["error"]
            raise AssertionError(f"batch {batch}, input kept in {killer}: {how}")
        batch += 1
    tally.seconds = time.monotonic() - began
    return tally


def _batch(reader, sound, scratch, names, batch, number, left):
    began, said = time.monotonic(), {"inputs": 0, "refused": 0, "reasons": Counter()}
    contents = {name: (sound / name).read_bytes() for name in names}
    before = _peak()

    class _StopError(Exception):
        pass

    @seed(batch)
    @settings(
        max_examples=-(-number // VARIANTS),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(names) - 1), OPERATIONS)
    def one(which, operations):
        for variant in range(VARIANTS):
            if time.monotonic() - began > left or "error" in said:
                raise _StopError
            read(
                [(choice + variant, state + variant) for choice, state in operations], names[which]
            )

    def read(operations, name):
        edits = [e for end, found in reader.edits.items() if name.endswith(end) for e in found]
        (scratch / name).write_bytes(mutated(contents[name], operations, edits))
        if reader.mend:
            reader.mend(scratch, operations)
        signal.alarm(60)
        said["inputs"] += 1
        try:
            reader.read(scratch, name)
        except InputError as error:
            said["refused"] += 1
            text = str(error)
            said["reasons"][text.partition("expected ")[2][:40]] += 1
            if not text.isprintable():
                said["error"] = f"not one plain line: {text!r}"
        except Exception:
            said["error"] = traceback.format_exc()
        if _peak() - before > MEMORY:
            said["error"] = f"{(_peak() - before) / 2**20:.0f} MB of memory"
        if "error" in said:
            raise _StopError
        for changed in {name, *(names if reader.mend else ())}:
            (scratch / changed).write_bytes(contents[changed])

    try:
        one()
    except _StopError:
        pass
    except Exception:
        said.setdefault("error", traceback.format_exc())
    said["reasons"] = dict(said["reasons"].most_common(40))
    return said
