"""The posterior of a few images as NUTS finds it, the decoder fixed."""

from typing import Any

import torch
from jaxtyping import Float
from pyro.infer import MCMC, NUTS
from torch import Tensor

from pyro_dcign.codes import undisturbed
from pyro_dcign.importance import draw_codes
from pyro_dcign.minibatch import Pixels, intensities
from pyro_dcign.run import Run

Chains = Float[Tensor, "chains draws latents"]


def nuts(
    run: Run,
    pixels: Pixels,
    *,
    draws: int = 250,
    warmup: int = 150,
    chains: int = 2,
    depth: int = 6,
    seed: int = 0,
) -> tuple[list[Chains], list[int]]:
    """Draws of p(z | x) for each image, and how many transitions of each diverged.

    NUTS (Hoffman, Gelman 2014) moves u, z = m + s u, with m and s the mean and sd of the guide's
    own draws: a scale that fits makes trees short, and a guide that is wrong makes them long but
    biases nothing. Each chain starts at another of the guide's draws.
    """
    found, diverged = [], []
    with undisturbed(run, seed=seed), torch.enable_grad():
        for image in intensities(pixels.to(run.device)).split(1):
            with torch.no_grad():
                codes = draw_codes(run, image, 400)[:, 0]
            mean, scale = codes.mean(0), codes.std(0).clamp(min=1e-4)
            each, failures = [], 0
            for chain in range(chains):
                # A potential and not the model: a site for each factor would cost three times.
                potential = _Potential(run, image, mean, scale)
                kernel = NUTS(potential_fn=potential, max_tree_depth=depth)
                mcmc = MCMC(
                    kernel,
                    num_samples=draws,
                    warmup_steps=warmup,
                    initial_params={"u": (codes[chain] - mean) / scale},
                    disable_progbar=True,
                )
                mcmc.run()
                each.append((mean + scale * mcmc.get_samples()["u"]).detach().cpu())
                failures += len(mcmc.diagnostics()["divergences"]["chain 0"])
            found.append(torch.stack(each))
            diverged.append(failures)
    return found, diverged


class _Potential:
    """-log p(x, m + s u)."""

    def __init__(self, run: Run, image: Tensor, mean: Tensor, scale: Tensor) -> None:
        self.model, self.image = run.model, image
        self.mean, self.scale = mean.detach(), scale.detach()

    def __call__(self, parameters: Any) -> Tensor:
        z = (self.mean + self.scale * parameters["u"]).unsqueeze(0)
        pixels = self.model.likelihood(self.model.decoder(z)).to_event(3)
        energy: Tensor = (z**2).sum() / 2 - pixels.log_prob(self.image).sum()
        return energy
