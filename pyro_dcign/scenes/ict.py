"""ICT-FaceKit (Li et al. 2020; MIT): a neutral head and 100 identities as OBJ files.

The light model has no colours: skin is one tone a person, with white eyeballs and a dark iris.
"""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray

from pyro_dcign.errors import need_file, need_folder, refuse
from pyro_dcign.scenes.morphable import (
    MAX_LENGTH,
    MAX_TRIANGLES,
    MODES,
    Morphable,
    MorphableFaces,
    check_model,
)

NEUTRAL = "generic_neutral_mesh.obj"
VERTICES = 26_719
SKIN = (0, 14_062)  # face, head and neck, mouth and eye sockets
EYES = ((21_451, 23_021), (23_021, 24_591))  # left and right; teeth, lashes and films are left out
AXIS = 0.45  # the ears of a whole head
TONE, SPREAD = 0.68, 0.1  # grey value of skin, and its standard deviation
WHITE, IRIS, PUPIL = 0.82, 0.3, 0.05
IRIS_ANGLE, PUPIL_ANGLE = 27.0, 11.0  # from an eyeball's axis, in degrees
MAX_BYTES = 64 * 2**20
_MAX_LINE = 4096


def ict(
    *, path: Path | str, device: str | torch.device = "cpu", shadows: bool = True
) -> MorphableFaces:
    """The scene of faces of ICT-FaceKit.

    Args:
        path: Its folder ``FaceXModel``, or the one that holds it.
        device: Where to render.
        shadows: Whether faces throw shadows on themselves.

    Raises:
        InputError: A file is missing, damaged or of another topology.
    """
    return MorphableFaces(read_ict(Path(path)), device=device, shadows=shadows)


def read_ict(folder: Path) -> Morphable:
    """The model in a folder: the first 80 of its identities' modes.

    Raises:
        InputError: A file is missing, damaged or of another topology.
    """
    need_folder(folder)
    if (folder / "FaceXModel").is_dir():
        folder = folder / "FaceXModel"
    neutral, triangles = read_obj(folder / NEUTRAL)
    names = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))[:MODES]
    if not names:
        raise refuse(folder, "files identity000.obj and on", "none", "give the folder FaceXModel")
    kept = np.concatenate([np.arange(*span) for span in (SKIN, *EYES)])
    digest = hashlib.sha256()
    for path in (folder / NEUTRAL, *names):
        need_file(path)
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    changes = []
    for path in names:
        moved, polygons = read_obj(path)
        if len(polygons) != len(triangles):
            raise refuse(path, f"{len(triangles)} triangles, like the neutral", len(polygons))
        changes.append((moved - neutral)[kept])
    modes = np.stack(changes)
    mean = neutral[kept]
    number = np.full(VERTICES, -1)
    number[kept] = np.arange(len(kept))
    shown = number[triangles]
    tone, one = _tones(neutral, kept)
    model = Morphable(
        mean.astype(np.float32),
        modes.astype(np.float32),
        tone.astype(np.float32),
        one.astype(np.float32)[None],
        shown[(shown >= 0).all(1)],
        AXIS,
        digest.hexdigest(),
    )
    check_model(folder, model)
    return model


def _tones(
    neutral: Float64[ndarray, "vertices 3"], kept: Int64[ndarray, " kept"]
) -> tuple[Float64[ndarray, " kept"], Float64[ndarray, " kept"]]:
    """Grey value of each vertex, and its change from person to person."""
    tone, spread = np.full(VERTICES, TONE), np.full(VERTICES, SPREAD)
    for first, end in EYES:
        ball = neutral[first:end]
        out = ball - (ball.min(0) + ball.max(0)) / 2
        angle = np.degrees(np.arccos(out[:, 2] / np.linalg.norm(out, axis=1).clip(1e-9)))
        value = np.where(angle < PUPIL_ANGLE, PUPIL, np.where(angle < IRIS_ANGLE, IRIS, WHITE))
        tone[first:end], spread[first:end] = value, 0.0
    return tone[kept], spread[kept]


def read_obj(path: Path) -> tuple[Float64[ndarray, "vertices 3"], Int64[ndarray, "triangles 3"]]:
    """Vertices and triangles of a Wavefront OBJ file of the model's topology.

    Raises:
        InputError: No such file, more than 64 MiB, or lines that do not parse.
    """
    need_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise refuse(path, f"at most {MAX_BYTES} bytes", path.stat().st_size)
    positions: list[tuple[float, ...]] = []
    faces: list[list[int]] = []
    try:
        with path.open("rb") as file:
            for line in iter(partial(file.readline, _MAX_LINE), b""):
                word, *rest = line.split() or [b""]
                if len(line) == _MAX_LINE or len(faces) > MAX_TRIANGLES:
                    raise ValueError(f"a line of {_MAX_LINE} bytes, or too many polygons")
                if word == b"v" and len(positions) == VERTICES:
                    raise ValueError(f"more than {VERTICES} vertices")
                if word == b"v":
                    positions.append(tuple(float(text) for text in rest[:3]))
                elif word == b"f":
                    corner = [int(text.partition(b"/")[0][:9]) - 1 for text in rest]
                    # A polygon is a fan of triangles.
                    faces.extend([corner[0], *corner[k : k + 2]] for k in range(1, len(corner) - 1))
        vertices = np.array(positions, np.float64)
        triangles = np.array(faces, np.int64).reshape(-1, 3)
    except ValueError as error:
        raise refuse(path, "an undamaged OBJ file", error) from None
    known = vertices.shape == (VERTICES, 3) and (np.abs(vertices) <= MAX_LENGTH).all()
    if not known:
        raise refuse(path, f"{VERTICES} vertices of the light model", vertices.shape)
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= VERTICES:
        raise refuse(path, "polygons of these vertices", triangles.shape)
    return vertices, triangles
