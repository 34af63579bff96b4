"""New people: the intrinsic latents of a run's aggregate posterior, as a normal to draw from.

The aggregate posterior is the mixture of q(z | x) over the training images (Hoffman, Johnson 2016).
Where it differs from the prior, the prior's draws decode to faces that the decoder never saw. A
draw of the mixture itself would be a training person; a normal with its moments gives new ones.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets import EvaluationSet, Store, evaluation_set
from pyro_dcign.errors import InputError
from pyro_dcign.files import write_whole
from pyro_dcign.runs import Run, draw, read_tensors

PEOPLE = "people.safetensors"
IMAGES = 3000


@dataclass(frozen=True)
class People:
    """Moments of the intrinsic latents over the training images.

    Attributes:
        mean: Of each latent.
        root: A matrix R with R Rᵀ their covariance.
    """

    mean: Float[Tensor, " latents"]
    root: Float[Tensor, "latents latents"]

    def draw(self, count: int, generator: torch.Generator) -> Float[Tensor, "count latents"]:
        """Intrinsic latents of new people."""
        return self.mean + torch.randn(count, len(self.mean), generator=generator) @ self.root.T


def people_of(run: Run, images: EvaluationSet, *, seed: int = 0) -> People:
    """The moments of one draw of q(z | x) for each of up to 3,000 training images."""
    order = np.random.default_rng(seed).permutation(len(images))[:IMAGES]
    codes, _, _ = draw(run, images.resized(run.config.side).pixels[torch.from_numpy(order)])
    intrinsic = run.code.split(codes)[INTRINSIC].double()
    mean = intrinsic.mean(0)
    values, vectors = torch.linalg.eigh((intrinsic - mean).T @ (intrinsic - mean) / len(intrinsic))
    return People(mean.float(), (vectors * values.clamp(min=0).sqrt()).float().contiguous())


def write_people(people: People, folder: Path) -> None:
    """Write ``people.safetensors`` into a run directory."""
    write_whole(folder / PEOPLE, save(vars(people)))


def open_people(run: Run) -> People:
    """The run's people, made and written now where it has none but its data are here.

    Raises:
        InputError: Neither a file nor the data to make one, or a damaged file.
    """
    path = run.folder / PEOPLE
    data = Path(run.config.data) if run.config.data else None
    if not path.is_file():
        if data is None or not data.is_dir():
            raise InputError(
                f"{run.folder} is to hold {PEOPLE} or have its training data here, but has "
                'neither; sample with prior="model"'
            )
        write_people(people_of(run, evaluation_set(Store.open(data), "train")), run.folder)
    size = run.code.sizes[INTRINSIC]
    found = read_tensors(path, 4 * size * (size + 1))
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    finite = all(t.dtype == torch.float32 and t.isfinite().all() for t in found.values())
    if shapes != {"mean": (size,), "root": (size, size)} or not finite:
        raise InputError(f"{path} is to hold moments of {size} latents; remove and remake it")
    return People(found["mean"], found["root"])
