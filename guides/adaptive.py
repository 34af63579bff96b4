"""A published rival of the clamp that is told no factor: it finds out what two images share."""

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, linear_head, sample_diagonal

Group = Float[Tensor, "groups images latents"]


def pair(loc: Group, scale: Group) -> tuple[Group, Group]:
    """Average each image's normals with the next image's in the latents that agree.

    Latent j agrees where KL(q_j | q'_j) lies below the midpoint between the smallest and the
    largest of the code; means and variances are averaged. The last image's next is the first.
    """
    other, wide = loc.roll(-1, 1), scale.roll(-1, 1)
    kl = (wide / scale).log() + (scale**2 + (loc - other) ** 2) / (2 * wide**2) - 0.5
    agree = kl < (kl.amax(-1, keepdim=True) + kl.amin(-1, keepdim=True)) / 2
    mean, variance = (loc + other) / 2, (scale**2 + wide**2) / 2
    return torch.where(agree, mean, loc), torch.where(agree, variance.sqrt(), scale)


class Adaptive(Guide):
    """q(z | x, x'): the latents in which two images agree are averaged, the others stay.

    Ada-GVAE (Locatello et al. 2020, arXiv 2002.02886). It knows which images form a minibatch, and
    ignores which factors vary in it, so nothing ties a latent to a factor's name. Outside a
    training step the guide is the mean field.

    Attributes:
        groups: The minibatches of the images; None outside training. It takes the clamp's place,
            see :class:`pyro_dcign.model.handlers.InGroups`.
    """

    takes_groups = True

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
        if self.groups is not None:
            groups = self.groups.numel() // len(self.code.factors)
            loc, scale = (part.unflatten(0, (groups, -1)) for part in (loc, scale))
            loc, scale = (part.flatten(0, 1) for part in pair(loc, scale))
        sample_diagonal(self.code, loc, scale)
