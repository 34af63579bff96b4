"""Simulation-based calibration: codes from the prior, pictures of them, ranks in the posterior."""

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import INTRINSIC
from pyro_dcign.runs import IMAGES_AT_ONCE, Run, batch_size, draw_codes, undisturbed

REFUSED = {
    "bernoulli": (
        "the Bernoulli likelihood draws pictures of black and white noise, which the encoder never "
        "saw; fit with --likelihood normal or continuous_bernoulli to ask this"
    )
}
"""Likelihoods whose own pictures are unlike the data, and why nothing can be learned from them."""


def ranks(
    run: Run, *, simulations: int = 400, draws: int = 99, seed: int = 0
) -> dict[str, Float[Tensor, "simulations latents"]]:
    """Rank of each true extrinsic latent among draws of q(z | x), in (0, 1), by factor.

    z ~ p(z), x ~ p(x | z); where q is p(z | x), ranks are uniform (Talts et al. 2018, arXiv
    1804.06788; for variational posteriors Yao et al. 2018, arXiv 1802.02538). Ties fall by a draw.

    Raises:
        ValueError: A likelihood named in :data:`REFUSED`.
    """
    if run.config.likelihood in REFUSED:
        raise ValueError(REFUSED[run.config.likelihood])
    found = []
    with undisturbed(run, seed=seed):
        at_once = min(IMAGES_AT_ONCE, batch_size(run))
        for start in range(0, simulations, at_once):
            count = min(at_once, simulations - start)
            z = run.model.code_prior.sample(count)
            images = run.model.likelihood(run.model.decoder(z)).sample()
            # One plate of draws and no pictures: the guide alone is cheap.
            below = (draw_codes(run, images, draws) < z).sum(0)
            found.append(((below + torch.rand_like(z)) / (draws + 1)).cpu())
    parts = run.code.split(torch.cat(found))
    return {name: part for name, part in parts.items() if name != INTRINSIC}
