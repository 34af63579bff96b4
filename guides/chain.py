"""A correlated normal as a chain of conditional normals, one for each site."""

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import INTRINSIC, GraphicsCode


def sample_chain(
    code: GraphicsCode,
    loc: Float[Tensor, "images latents"],
    scale: Float[Tensor, "images latents"],
    triangle: Float[Tensor, "images extrinsic extrinsic"],
) -> None:
    """Sample e = loc + L ε factor by factor, then the intrinsic latents with a scale each.

    q(e_f | e_<f) = N(loc_f + L_f,<f ε_<f, diag L_ff), where ε_<f is what the draws before make it:
    ε_j = (e_j - loc of its conditional) / L_jj. So every site has a location and a scale.

    Under the clamp a factor's *conditional* is held: an inactive factor at the minibatch mean of
    its conditional location, an active one drawn from its conditional given the held ones. Two
    latents of one factor (a full circle's plane) are independent given the factors before.

    Args:
        code: Names and sizes of the sites.
        loc: Of every latent.
        scale: Of every latent; only the intrinsic ones' are read.
        triangle: L, lower triangular with a positive diagonal.
    """
    noise: list[Tensor] = []
    with pyro.plate("images", len(loc), dim=-1):
        for name, where in code.slices().items():
            centre, spread = loc[:, where], scale[:, where]
            if name != INTRINSIC:
                rows = triangle[:, where]
                spread = rows[..., where].diagonal(dim1=-2, dim2=-1)
                if noise:
                    before = torch.cat(noise, -1)
                    weights = rows[..., : before.shape[-1]]
                    centre = centre + (weights * before.unsqueeze(-2)).sum(-1)
            z = pyro.sample(name, dist.Normal(centre, spread, validate_args=False).to_event(1))
            if name != INTRINSIC:
                noise.append((z - centre) / spread)
