"""The generative model p(z) p(x | z) as a Pyro program."""

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import GraphicsCode, Latents
from pyro_dcign.images import Images
from pyro_dcign.model.diagonal import Standard
from pyro_dcign.model.likelihoods import load_likelihood
from pyro_dcign.model.networks import Decoder
from pyro_dcign.model.registered import Registered
from pyro_dcign.model.residual import ResidualDecoder


class Model(Registered):
    """Standard normal factors, rendered by the decoder: one sample site for each factor.

    The sites ``azimuth``, ``elevation``, … ``intrinsic`` (event shape: the factor's latents) and
    ``image`` (event shape ``(1, side, side)``) lie in ``plate("images")``, as do a guide's.

    Its parameters live in the module; Pyro's SVI is told of them, under names of their own, so
    several models in one process cannot disturb each other.
    """

    def __init__(
        self,
        decoder: Decoder | ResidualDecoder,
        code: GraphicsCode,
        *,
        likelihood: str,
        pixel_scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.decoder, self.code = decoder, code
        self.likelihood = load_likelihood(likelihood, pixel_scale)

    def forward(
        self, images: Images | None = None, *, n: int = 1
    ) -> Float[Tensor, "*batch 1 height width"]:
        """Score images, or draw ``n`` new ones: the Pyro program p(z) p(x | z)."""
        like = next(self.decoder.parameters()) if images is None else images
        count = n if images is None else len(images)
        # Both parameters are tensors: a number would be copied to the device at every step.
        zeros, ones = like.new_zeros(()), like.new_ones(())
        with pyro.plate("images", count, dim=-1):
            latents = self.code.join(
                {
                    name: pyro.sample(
                        name,
                        Standard(
                            dist.Normal(zeros, ones, validate_args=False).expand([count, size]),
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
