"""Posterior predictive checks: are an image's residuals those that the likelihood expects?"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.images import Pixels, intensities
from pyro_dcign.posterior.arviz_bridge import Array, loo_pit
from pyro_dcign.runs import IMAGES_AT_ONCE, Run, draw_codes, undisturbed

REFUSED = {
    "bernoulli": (
        "a grey value is no outcome of a Bernoulli, whose replicates are black and white, so it "
        "has no place among them; fit with --likelihood normal or continuous_bernoulli to ask this"
    )
}
"""Likelihoods that give no density to a grey value, and so no place in a distribution."""


def predictive(
    run: Run, pixels: Pixels, *, draws: int = 100, points: int = 64, seed: int = 0
) -> tuple[Float[Tensor, " images"], Array]:
    """Each image, and a few of its pixels, among replicates drawn from the guide's codes.

    Returns:
        The share of replicates that stray further from the decoded mean than the image does, where
        the discrepancy is -log p(x | z) at each draw of z (Gelman, Meng, Stern 1996): near 1,
        residuals are smaller than the likelihood expects; near 0, larger. And LOO-PIT, (images,
        points), of pixels taken at random: uniform where guide and likelihood are right.

    Raises:
        ValueError: A likelihood named in :data:`REFUSED`.
    """
    if run.config.likelihood in REFUSED:
        raise ValueError(REFUSED[run.config.likelihood])
    shares, pits = [], []
    where = np.random.default_rng(seed)
    with undisturbed(run, seed=seed):
        for images in intensities(pixels.to(run.device)).split(IMAGES_AT_ONCE):
            at = where.integers(images[0].numel(), size=(len(images), points))
            index = torch.from_numpy(at).to(run.device)
            strays, kept = [], []
            for z in draw_codes(run, images, draws):
                likelihood = run.model.likelihood(run.model.decoder(z))
                drawn = likelihood.sample()
                of_drawn, of_image = (likelihood.log_prob(x).flatten(1) for x in (drawn, images))
                strays.append((of_drawn.sum(1) < of_image.sum(1)).float())
                kept.append([part.flatten(1).gather(1, index) for part in (drawn, of_image)])
            shares.append(torch.stack(strays).mean(0).cpu())
            replicated, scored = (
                torch.stack(parts).flatten(1).cpu().numpy() for parts in zip(*kept, strict=True)
            )
            observed = images.flatten(1).gather(1, index).flatten().cpu().numpy()
            pits.append(loo_pit(observed, replicated, scored).reshape(at.shape))
    return torch.cat(shares), np.concatenate(pits)
