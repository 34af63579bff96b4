"""A normal with diagonal covariance over a whole code, of which each factor's site is a share."""

from collections.abc import Callable
from typing import Any, TypeVar

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.machine import usable

Made = TypeVar("Made")
Codes = Float[Tensor, "images latents"]


class Diagonal:
    """N(loc, diag scale²) over the code of each image, sampled site by site.

    To any handler its sites are ordinary normals. One that does the same to every site may do it
    once for all of them, which costs as much as for one.

    Args:
        code: Names and sizes of the sites.
        loc: Of every latent.
        scale: Of every latent, positive.
    """

    def __init__(self, code: GraphicsCode, loc: Codes, scale: Codes) -> None:
        self.code, self.loc, self.scale = code, loc, scale
        self._locs, self._scales = code.split(loc), code.split(scale)
        self._made: dict[Any, Any] = {}

    def share(self, name: str) -> "Share":
        """The distribution of one factor's site."""
        return Share(self, name, self._locs[name], self._scales[name])

    def once(self, handler: Any, make: Callable[["Diagonal"], Made]) -> Made:
        """What a handler makes of the whole, made at the first of its sites."""
        if handler not in self._made:
            self._made[handler] = make(self)
        made: Made = self._made[handler]
        return made


class Share(dist.Independent):  # type: ignore[misc]
    """A factor's share of a :class:`Diagonal`: a normal that knows of the rest."""

    def __init__(self, whole: Diagonal, name: str, loc: Tensor, scale: Tensor) -> None:
        self.whole, self.name = whole, name
        super().__init__(dist.Normal(loc, scale, validate_args=False), 1, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """Itself for its own batch, as a plate asks; an ordinary normal for another."""
        if torch.Size(batch_shape) == self.batch_shape:
            return self
        return self.base_dist.to_event(1).expand(batch_shape)


class Standard(dist.Independent):  # type: ignore[misc]
    """N(0, 1) over the latents of a factor: the prior of a site."""


def sample_diagonal(code: GraphicsCode, loc: Codes, scale: Codes) -> None:
    """Sample the site of each factor from N(loc, diag scale²), inside ``plate("images")``."""
    whole = Diagonal(code, loc, scale)
    with pyro.plate("images", len(loc), dim=-1):
        for name in code.factors:
            pyro.sample(name, whole.share(name))


def noise_like(code: GraphicsCode, loc: Codes) -> Codes:
    """Standard normal noise for every latent."""
    if loc.is_cuda:
        return torch.empty_like(loc).normal_()
    # Factor by factor, so that a seed gives the draws that Pyro makes one site after another.
    sizes = code.sizes.values()
    return torch.cat([loc.new_empty(len(loc), size).normal_() for size in sizes], dim=-1)


def draw(loc: Codes, scale: Codes, noise: Codes) -> tuple[Codes, Float[Tensor, " images"]]:
    """A reparametrised draw z, and log q(z) - log p(z) of each image under a standard normal prior.

    Example:
        >>> zero, one = torch.zeros(1, 2), torch.ones(1, 2)
        >>> draw(zero, one, 3 * one)
        (tensor([[3., 3.]]), tensor([0.]))
    """
    if usable(loc):
        from pyro_dcign.model.kernels.draw import draw as fused  # noqa: PLC0415

        return fused(loc, scale, noise)
    z = torch.addcmul(loc, noise, scale)
    return z, (z.square() - noise.square()).sum(-1) / 2 - scale.log().sum(-1)
