"""Extrinsic latents with a full covariance: pose and light may trade against each other."""

import torch

from pyro_dcign.code import INTRINSIC, GraphicsCode
from pyro_dcign.guides.chain import sample_chain
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, linear_head


class FullRank(Guide):
    """q(z | x) = N(e; loc, L Lᵀ) N(intrinsic; loc, diag scale²), L = diag(scale) (1 + A).

    A(x) is strictly lower triangular: its rows regress each extrinsic latent on those before.
    """

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.extrinsic = code.latents - code.sizes[INTRINSIC]
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)
        self.regression = linear_head(encoder.features, self.extrinsic**2)

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features, k = self.encoder(images), self.extrinsic
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
            below = self.regression(features).unflatten(-1, (k, k)).tril(-1)
            one = torch.eye(k, dtype=below.dtype, device=below.device)
            triangle = scale[:, :k, None] * (one + below)
        sample_chain(self.code, loc, scale, triangle)
