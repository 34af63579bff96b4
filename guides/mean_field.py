"""The paper's guide: a normal with diagonal covariance."""

import torch

from pyro_dcign.code import GraphicsCode
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, linear_head, sample_diagonal


class MeanField(Guide):
    """q(z | x) = N(z; loc(x), diag scale(x)²), heads linear in the encoder's features.

    The second head gives the log variance (paper, section 3.1; stochastic gradient variational
    Bayes).
    """

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features = self.encoder(images)
        # Heads stay in full precision under autocast: a posterior is finer than bfloat16.
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
        sample_diagonal(self.code, loc, scale)
