"""Heavier tails than a normal: q(z | x) = Laplace(loc(x), scale(x))."""

import pyro
import pyro.distributions as dist
import torch

from pyro_dcign.model import Guide, linear_head


class Laplace(Guide):
    def __init__(self, encoder, code):
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = linear_head(encoder.features, code.latents)
        self.log_scale = linear_head(encoder.features, code.latents)

    def forward(self, images):
        features = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            loc, scale = self.loc(features), self.log_scale(features).exp()
        with pyro.plate("images", len(images), dim=-1):
            for name, where in self.code.slices().items():
                site = dist.Laplace(loc[..., where], scale[..., where], validate_args=False)
                pyro.sample(name, site.to_event(1))
