"""Extrinsic latents with a covariance of low rank plus a diagonal."""

import torch
from torch import Tensor

from pyro_dcign.code import INTRINSIC, GraphicsCode
from pyro_dcign.guides.chain import sample_chain
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, linear_head


class LowRank(Guide):
    """q(z | x) = N(e; loc, S (1 + V Vᵀ) S) N(intrinsic; loc, diag scale²), S = diag(scale).

    V(x) has one column for each direction in which the extrinsic latents err together.
    """

    rank = 1

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.extrinsic = code.latents - code.sizes[INTRINSIC]
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)
        self.directions = linear_head(encoder.features, self.extrinsic * self.rank)

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features, k = self.encoder(images), self.extrinsic
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
            v: Tensor = self.directions(features).unflatten(-1, (k, self.rank))
            # 1 + V Vᵀ is positive definite; unchecked, the device need not wait for the host.
            one = torch.eye(k, dtype=v.dtype, device=v.device)
            root = torch.linalg.cholesky_ex(one + v @ v.mT, check_errors=False).L
            triangle = scale[:, :k, None] * root
        sample_chain(self.code, loc, scale, triangle)
