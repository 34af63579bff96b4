"""An amortised normalising flow over the extrinsic latents, through zuko."""

import math

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform
from zuko.transforms import MonotonicRQSTransform

from pyro_dcign.code import INTRINSIC, GraphicsCode
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, linear_head


class Flow(Guide):
    """z_f = loc_f(x) + scale_f(x) · spline(ε; x, z_<f), ε ~ N(0, 1); intrinsic latents normal.

    A monotone rational-quadratic spline of 8 bins for each extrinsic latent (Durkan et al. 2019,
    arXiv 1906.04032), given the image and the factors before, so the extrinsic block may be skewed,
    of several modes, and dependent. It is near the identity before training.

    No location holds such a site, so the clamp acts on its draw (``clamp_on = "draw"``); on
    parameters it refuses.
    """

    bins = 8
    clamp_on = "draw"

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        knots = 3 * self.bins - 1
        extrinsic = code.latents - code.sizes[INTRINSIC]
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)
        self.knots = linear_head(encoder.features, extrinsic * knots)
        self.given = linear_head(extrinsic, extrinsic * knots)

    def _spline(self, knots: Tensor) -> MonotonicRQSTransform:
        widths, heights, slopes = knots.split([self.bins, self.bins, self.bins - 1], dim=-1)
        return MonotonicRQSTransform(widths, heights, slopes, slope=math.exp(-5))

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features, shape = self.encoder(images), (-1, 3 * self.bins - 1)
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
            knots = self.knots(features).unflatten(-1, shape)
            given = torch.zeros_like(loc[:, : self.given.in_features])
            with pyro.plate("images", len(images), dim=-1):
                for name, where in self.code.slices().items():
                    normal = dist.Normal(loc[:, where], scale[:, where], validate_args=False)
                    if name == INTRINSIC:
                        pyro.sample(name, normal.to_event(1))
                        break
                    theta = knots + self.given(given).unflatten(-1, shape)
                    zeros, ones = torch.zeros_like(normal.loc), torch.ones_like(normal.loc)
                    base = dist.Normal(zeros, ones, validate_args=False)
                    onto = AffineTransform(normal.loc, normal.scale)
                    site = dist.TransformedDistribution(
                        base, [self._spline(theta[..., where, :]), onto], validate_args=False
                    )
                    z = pyro.sample(name, site.to_event(1))
                    # The draws so far, zeros for the factors to come.
                    room = (where.start, given.shape[-1] - where.stop)
                    given = given + nn.functional.pad(z, room)
