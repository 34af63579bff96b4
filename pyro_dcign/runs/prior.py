"""The prior of a trained run: the normal of the codes that its training images have."""

import torch
from safetensors.torch import save

from pyro_dcign.errors import InputError
from pyro_dcign.files import naming
from pyro_dcign.images import Pixels, intensities
from pyro_dcign.model import Prior
from pyro_dcign.runs.checkpoint import read_tensors
from pyro_dcign.runs.codes import draw_codes, undisturbed
from pyro_dcign.runs.run import Run

PRIOR = "prior.safetensors"


def fit_prior(run: Run, pixels: Pixels, *, seed: int = 0) -> Prior:
    """The aggregate posterior's normal, from a draw of each image's code; the run is not changed.

    The decoder learned from the codes that the guide gives, which fill a small and oblique part of
    a standard normal: only inside it are pictures of drawn codes like the data. The covariance is
    shrunk towards a multiple of 1 by as much as the number of images asks for (Ledoit, Wolf 2004).

    Raises:
        InputError: Fewer than two images.
    """
    from sklearn.covariance import LedoitWolf  # noqa: PLC0415 - slow to load, and seldom needed

    if len(pixels) < 2:
        raise InputError(f"a prior needs 2 or more images, got {len(pixels)}; give a larger set")
    with undisturbed(run, seed=seed):
        chunks = pixels.split(64)
        parts = [draw_codes(run, intensities(c.to(run.device)), 1)[0].cpu() for c in chunks]
    codes = torch.cat(parts).double().numpy()
    found = LedoitWolf().fit(codes)
    root = torch.linalg.cholesky(torch.from_numpy(found.covariance_))
    return Prior(*(t.float().to(run.device) for t in (torch.from_numpy(found.location_), root)))


def write_prior(run: Run, prior: Prior) -> None:
    """Keep a prior with the run, which has it from now on wherever its parameters are loaded."""
    run.model.prior = prior
    tensors = {"loc": prior.loc.cpu().contiguous(), "root": prior.root.cpu().contiguous()}
    path = run.folder / PRIOR
    with naming(path):
        path.write_bytes(save(tensors))


def load_prior(run: Run) -> None:
    """Give the model the prior that is kept with the run, if one is.

    Raises:
        InputError: A damaged file, or one of another code.
    """
    path = run.folder / PRIOR
    if not path.is_file():
        return
    latents = run.code.latents
    tensors = read_tensors(path, 4 * latents * (latents + 1))
    good = {n: t.shape for n, t in tensors.items()} == {"loc": (latents,), "root": (latents,) * 2}
    if not (
        good
        and all(t.dtype == torch.float32 and bool(t.isfinite().all()) for t in tensors.values())
        and bool((tensors["root"].diagonal() > 0).all())
        and torch.equal(tensors["root"], tensors["root"].tril())
    ):
        raise InputError(f"{path} is to hold a normal over {latents} latents; remove the file")
    run.model.prior = Prior(tensors["loc"].to(run.device), tensors["root"].to(run.device))
