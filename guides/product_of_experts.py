"""A published rival of the clamp: one posterior for what a minibatch shares."""

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, linear_head

Group = Float[Tensor, "groups images latents"]


def product(loc: Group, scale: Group) -> tuple[Group, Group]:
    """The product of a group's normals, given to each of its images.

    Its precision is the sum of theirs, its location their precision-weighted mean.
    """
    precision = scale**-2
    total = precision.sum(1, keepdim=True)
    mean = (precision * loc).sum(1, keepdim=True) / total
    return mean.expand_as(loc), total.rsqrt().expand_as(scale)


class ProductOfExperts(Guide):
    """q(z_f | x_i) for each factor that varies, ∏_i q(z_g | x_i) for every other.

    The multi-level VAE (Bouchacourt, Tomioka, Nowozin 2018, arXiv 1705.08841): in a minibatch where
    a pose varies, all images have one intrinsic code. Each draws noise of its own, and pays the KL
    of its own, as in Locatello et al. 2020. Ordinary gradients, no pull. Outside a training step
    the guide knows no groups and is the mean field.

    Attributes:
        groups: Which factors vary in each minibatch of the images; None outside training. It takes
            the clamp's place, see :class:`pyro_dcign.model.handlers.InGroups`.
    """

    takes_groups = True

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)

    def _shared(self, name: str, loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        if self.groups is None:
            return loc, scale
        own = self.groups[..., self.code.index(name)].view(-1, 1, 1)
        each = [part.unflatten(0, (own.numel(), -1)) for part in (loc, scale)]
        shared = zip(each, product(each[0], each[1]), strict=True)
        held_loc, held_scale = (torch.where(own, a, b).flatten(0, 1) for a, b in shared)
        return held_loc, held_scale

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
        with pyro.plate("images", len(images), dim=-1):
            for name, where in self.code.slices().items():
                centre, spread = self._shared(name, loc[:, where], scale[:, where])
                site = dist.Normal(centre, spread, validate_args=False)
                pyro.sample(name, site.to_event(1))
