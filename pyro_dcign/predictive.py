"""Posterior predictive check: are an image's residuals those that the likelihood expects?"""

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.codes import undisturbed
from pyro_dcign.importance import IMAGES_AT_ONCE, draw_codes
from pyro_dcign.minibatch import Pixels, intensities
from pyro_dcign.run import Run


def predictive_p(
    run: Run, pixels: Pixels, *, draws: int = 50, seed: int = 0
) -> Float[Tensor, " images"]:
    """Share of replicated images that stray further from the decoded mean than the image does.

    The discrepancy is -log p(x | z), at each draw of z (Gelman, Meng, Stern 1996). Near 1:
    residuals are smaller than the likelihood expects; near 0: larger.
    """
    found = []
    with undisturbed(run, seed=seed):
        for images in intensities(pixels.to(run.device)).split(IMAGES_AT_ONCE):
            shares = []
            for z in draw_codes(run, images, draws):
                pixels_of = run.model.likelihood(run.model.decoder(z)).to_event(3)
                replicated, observed = (pixels_of.log_prob(x) for x in (pixels_of.sample(), images))
                shares.append((replicated < observed).float())
            found.append(torch.stack(shares).mean(0).cpu())
    return torch.cat(found)
