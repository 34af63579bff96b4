"""The generative model p(z) p(x | z) as a Pyro program."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_dcign.code import GraphicsCode, Latents
from pyro_dcign.model.diagonal import Standard
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images
from pyro_dcign.model.networks import Decoder

Likelihood = Callable[[Tensor], Any]
"""Image logits to a distribution over each pixel's intensity in [0, 1]."""


def _bernoulli(logits: Tensor) -> Any:
    # Grey values are no Bernoulli outcomes, so validation must stay off: this is the paper's
    # binary cross-entropy on intensities.
    return dist.Bernoulli(logits=logits, validate_args=False)


def _continuous_bernoulli(logits: Tensor) -> Any:
    return dist.ContinuousBernoulli(logits=logits, validate_args=False)


def _normal(scale: float) -> Likelihood:
    def likelihood(logits: Tensor) -> Any:
        scales = torch.full_like(logits, scale)
        return dist.Normal(logits.sigmoid(), scales, validate_args=False)

    return likelihood


def load_likelihood(name: str, pixel_scale: float) -> Likelihood:
    """The likelihood of that name; the normal one's standard deviation of a pixel.

    Raises:
        InputError: An unknown name.
    """
    found: dict[str, Likelihood] = {
        "bernoulli": _bernoulli,
        "continuous_bernoulli": _continuous_bernoulli,
        "normal": _normal(pixel_scale),
    }
    if name not in found:
        raise InputError(f"likelihood is one of {', '.join(found)}, got {name!r}; choose one")
    return found[name]


class Model(nn.Module):
    """Standard normal factors, rendered by the decoder: one sample site for each factor.

    The sites ``azimuth``, ``elevation``, … ``intrinsic`` (event shape: the factor's latents) and
    ``image`` (event shape ``(1, side, side)``) lie in ``plate("images")``, as do a guide's.

    Its parameters live in the module, never in Pyro's global store, so several models in one
    process cannot disturb each other.
    """

    def __init__(
        self, decoder: Decoder, code: GraphicsCode, *, likelihood: str, pixel_scale: float = 0.1
    ) -> None:
        super().__init__()
        self.decoder, self.code = decoder, code
        self.likelihood = load_likelihood(likelihood, pixel_scale)

    def forward(self, images: Images) -> Images:
        """Score images: the Pyro program p(z) p(x | z)."""
        # Both parameters are tensors: a number would be copied to the device at every step.
        zeros, ones = images.new_zeros(()), images.new_ones(())
        with pyro.plate("images", len(images), dim=-1):
            latents = self.code.join(
                {
                    name: pyro.sample(
                        name,
                        Standard(
                            dist.Normal(zeros, ones, validate_args=False).expand(
                                [len(images), size]
                            ),
                            1,
                        ),
                    )
                    for name, size in self.code.sizes.items()
                }
            )
            pixels = self.likelihood(self.decoder(latents)).to_event(3)
            return pyro.sample("image", pixels, obs=images)

    @torch.no_grad()
    def decode(self, latents: Latents) -> Float[Tensor, "*batch 1 side side"]:
        """Mean intensities of the images that the latents render to."""
        mean: Tensor = self.likelihood(self.decoder(latents)).mean
        return mean
