"""The posterior of a few images as NUTS finds it, the decoder fixed."""

import torch
from jaxtyping import Float
from pyro.infer import MCMC, NUTS
from torch import Tensor

from pyro_dcign.images import Pixels, intensities
from pyro_dcign.model import NormalFit, nearest_normal
from pyro_dcign.runs import Run, draw_codes, undisturbed

Chains = Float[Tensor, "chains draws latents"]


def nuts(
    run: Run,
    pixels: Pixels,
    *,
    draws: int = 250,
    warmup: int = 100,
    chains: int = 2,
    depth: int = 5,
    seed: int = 0,
) -> tuple[list[Chains], list[int]]:
    """Draws of p(z | x) for each image, and how many transitions of each diverged.

    NUTS (Hoffman, Gelman 2014) moves u, z = m + T u, with N(m, T Tᵀ) the normal nearest to the
    posterior, so that its trees stay short in a posterior as narrow and oblique as a decoder makes
    it. The map is linear: it changes the cost and never the target. Chains start at draws of the
    guide.
    """
    found, diverged = [], []
    with undisturbed(run, seed=seed), torch.enable_grad():
        for image in intensities(pixels.to(run.device)).split(1):
            with torch.no_grad():
                codes = draw_codes(run, image, chains)[:, 0]
            mode, spread, shrink = _whitened(run, image, codes.mean(0))
            each, failures = [], 0
            for start in codes:
                # A potential and not the model: a site for each factor would cost three times.
                kernel = NUTS(
                    potential_fn=lambda at, m=mode, t=spread, x=image: _energy(
                        run, x, m + t @ at["u"]
                    ),
                    max_tree_depth=depth,
                )
                mcmc = MCMC(
                    kernel,
                    num_samples=draws,
                    warmup_steps=warmup,
                    initial_params={"u": shrink @ (start - mode)},
                    disable_progbar=True,
                )
                mcmc.run()
                each.append((mode + mcmc.get_samples()["u"] @ spread.T).detach().cpu())
                failures += len(mcmc.diagnostics()["divergences"]["chain 0"])
            found.append(torch.stack(each))
            diverged.append(failures)
    return found, diverged


def _energy(run: Run, image: Tensor, z: Tensor) -> Tensor:
    """-log p(x, z) up to a constant, of one code."""
    pixels = run.model.likelihood(run.model.decoder(z.unsqueeze(0))).to_event(3)
    energy: Tensor = run.model.code_prior.energy(z) - pixels.log_prob(image).sum()
    return energy


def _whitened(run: Run, image: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and root T of the normal nearest to p(z | x), and the inverse of T."""
    fit = NormalFit(climbs=6)
    noise = torch.randn(*fit.noise, len(start), device=start.device)
    loc, root = nearest_normal(run.model, image, start.unsqueeze(0), noise, fit)
    if not (loc.isfinite().all() and root.isfinite().all()):  # no normal: NUTS moves z itself
        one = torch.eye(len(start), dtype=start.dtype, device=start.device)
        return start, one, one
    return loc[0], root[0], torch.linalg.inv(root[0])
