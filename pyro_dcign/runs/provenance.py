"""What a file of a run was made from: which parameters, at which step, and which data."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pyro_dcign.datasets import EvaluationSet, Store
from pyro_dcign.errors import InputError
from pyro_dcign.files import whole
from pyro_dcign.images import fingerprints
from pyro_dcign.runs.checkpoint import FOLDER, STATE, read_json
from pyro_dcign.runs.run import Run

PICTURES = "trained_on.safetensors"
"""Fingerprints of the training images, and the digest of their store."""

CALIBRATION = "calibration.json"
"""A curve for each factor, see :mod:`pyro_dcign.measures.calibration`."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_STEP = 10**9
_MAX_BYTES = 2**28


@dataclass(frozen=True)
class Origin:
    """What a derived file was made from.

    Attributes:
        parameters: Digest of the networks' parameters.
        step: Updates that they have had; None where that is not known.
        data: Digest of the store whose images were used; empty for other images.
    """

    parameters: str
    step: int | None = None
    data: str = ""

    def __str__(self) -> str:
        step = "" if self.step is None else f"step {self.step}, "
        return f"{step}parameters {self.parameters[:12]}"


def origin_of(run: Run, data: str = "") -> Origin:
    """What is made from a run as it is now, and from images of the store with this digest.

    Parameters count at half precision, as a shared network holds them.
    """
    found = hashlib.sha256()
    for name, tensor in sorted(run.modules.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().half().cpu().contiguous().numpy().tobytes())
    return Origin(found.hexdigest(), run.model.step, data)


def origin_in(found: Any) -> Origin | None:
    """The origin that a JSON object holds, or None for a file that is older than origins.

    Raises:
        ValueError: Something else; also TypeError and KeyError.
    """
    if found is None:
        return None
    step = found["step"]
    digests = [found["parameters"], *([found["data"]] if found["data"] else [])]
    if not all(isinstance(d, str) and _SHA256.fullmatch(d) for d in digests):
        raise ValueError("needs SHA-256 digests of what it was made from")
    if step is not None and (type(step) is not int or not 0 <= step <= _MAX_STEP):
        raise ValueError(f"cannot be of step {step!r}")
    return Origin(found["parameters"], step, found["data"])


def forget_undated(folder: Path) -> None:
    """Remove a calibration that does not say which parameters it is of: training makes it wrong."""
    path = folder / CALIBRATION
    try:
        undated = path.is_file() and "of" not in read_json(path)
    except (ValueError, TypeError, RecursionError):
        undated = True
    if undated:
        path.unlink(missing_ok=True)


def newest_step(folder: Path) -> int | None:
    """Step of the newest checkpoint by its name, sound or not; None where there is none."""
    names = sorted(path.name for path in (folder / FOLDER).glob("step-*"))
    digits = names[-1].removeprefix("step-") if names else ""
    return int(digits) if digits.isdecimal() else None


def remember_pictures(run: Run, store: Store) -> None:
    """Write down which images a run trains on; of a plan, whose images are nowhere, which store."""
    if _noted(run)[0] == store.digest:
        return
    parts = [torch.empty(0, dtype=torch.int64)]
    if store.manifest.recipe.get("stored", True):
        parts += [fingerprints(block.pixels.flatten(0, 1)) for _, block in store.blocks("train")]
    pictures = torch.from_numpy(np.unique(torch.cat(parts).numpy()))
    run.folder.mkdir(parents=True, exist_ok=True)
    with whole(run.folder / PICTURES) as temporary:
        save_file({"pictures": pictures}, temporary, metadata={"store": store.digest})


def _noted(run: Run) -> tuple[str, Tensor]:
    """Digest of the store, and fingerprints of the images, that a run was trained on."""
    path, none = run.folder / PICTURES, torch.empty(0, dtype=torch.int64)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is to be of at most {_MAX_BYTES} bytes; remove it")
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get("store", "")
            pictures: Tensor = file.get_tensor("pictures")
    except FileNotFoundError:
        return "", none
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is to be safetensors: {error}; remove it") from None
    if pictures.dtype != torch.int64 or pictures.dim() != 1 or not _SHA256.fullmatch(digest):
        raise InputError(f"{path} is to hold fingerprints of pictures, but does not; remove it")
    return digest, pictures


def data_of(run: Run) -> str:
    """Digest of the store that a run was trained on; empty where that was not written down."""
    noted, _ = _noted(run)
    if noted:
        return noted
    states = sorted((run.folder / FOLDER).glob(f"step-*/{STATE}"))
    try:
        found = read_json(states[-1])["data"] if states else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) and _SHA256.fullmatch(found) else ""


def own_store(run: Run) -> Store | None:
    """The data that a run was trained on, or None where they are not here.

    Raises:
        InputError: Where the run has its data from, other data lie now.
    """
    folder = Path(run.config.data)
    if not run.config.data or not folder.is_dir():
        return None
    store, wanted = Store.open(folder), data_of(run)
    if wanted and store.digest != wanted:
        raise InputError(
            f"{run.folder} was trained on the data with the digest {wanted[:12]}, but {folder} "
            f"holds others ({store.digest[:12]}); restore them, or name these with --data"
        )
    return store


def trained_identities(run: Run, images: EvaluationSet) -> set[int] | None:
    """Identities of a set that the run is known to have been trained on; None: it is not known.

    Of the run's own data the split says it. Of others, it is those with a picture that is, pixel by
    pixel, a training image; where there is none, nothing is known.
    """
    digest, pictures = _noted(run)
    if images.data and images.data == (digest or data_of(run)):
        return set() if images.split == "test" else set(images.identity.tolist())
    flat = images.resized(run.config.side).pixels.flatten(1)
    known = torch.isin(fingerprints(flat.unflatten(1, (-1, run.config.side))), pictures)
    known &= flat.amax(1) != flat.amin(1)
    return set(images.identity[known].tolist()) or None
