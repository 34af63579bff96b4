"""A normal with full covariance over a code, sampled factor by factor."""

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import GraphicsCode


def sample_correlated(
    code: GraphicsCode,
    loc: Float[Tensor, "images latents"],
    root: Float[Tensor, "images latents latents"],
) -> Float[Tensor, "*draws images latents"]:
    """Sample z = loc + L ε, each factor from its conditional given the factors before it.

    The product of the sites' densities is that of N(loc, L Lᵀ). The sites lie in
    ``plate("images")``.

    Args:
        code: Names and sizes of the sites.
        loc: Of every latent.
        root: L, lower triangular with a positive diagonal.
    """
    with pyro.plate("images", len(loc), dim=-1):
        return correlated_sites(code, loc, root)


def correlated_sites(
    code: GraphicsCode,
    loc: Float[Tensor, "images latents"],
    root: Float[Tensor, "images latents latents"],
) -> Float[Tensor, "*draws images latents"]:
    """The sites of :func:`sample_correlated`, for who is in the plate already."""
    noise: list[Tensor] = []
    drawn: list[Tensor] = []
    for name, where in code.slices().items():
        centre, own = loc[:, where], root[:, where, where]
        if noise:
            before = torch.cat(noise, -1).unsqueeze(-1)
            centre = centre + (root[:, where, : where.start] @ before).squeeze(-1)
        site = dist.MultivariateNormal(centre, scale_tril=own, validate_args=False)
        z = pyro.sample(name, site)
        away = (z - centre).unsqueeze(-1)
        drawn.append(z)
        noise.append(torch.linalg.solve_triangular(own, away, upper=False).squeeze(-1))
    return torch.cat(drawn, -1)
