"""The generative model p(z) p(x | z) as a Pyro program."""

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import GraphicsCode, Latents
from pyro_dcign.images import Images
from pyro_dcign.model.correlated import correlated_sites
from pyro_dcign.model.diagonal import Standard
from pyro_dcign.model.likelihoods import load_likelihood
from pyro_dcign.model.networks import Decoder
from pyro_dcign.model.prior import Prior
from pyro_dcign.model.registered import Registered
from pyro_dcign.model.residual import ResidualDecoder


class Model(Registered):
    """Normal factors, rendered by the decoder: one sample site for each factor.

    The sites ``azimuth``, ``elevation``, … ``intrinsic`` (event shape: the factor's latents) and
    ``image`` (event shape ``(1, side, side)``) lie in ``plate("images")``, as do a guide's.

    Its parameters live in the module; Pyro's SVI is told of them, under names of their own, so
    several models in one process cannot disturb each other.

    Attributes:
        step: Updates that its parameters have had; None where that is not known.
        prior: p(z): standard normal, until another is fitted to a trained run.
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
        self.step: int | None = None
        self.decoder, self.code = decoder, code
        self.likelihood = load_likelihood(likelihood, pixel_scale)
        self.prior: Prior | None = None

    def forward(
        self, images: Images | None = None, *, n: int = 1
    ) -> Float[Tensor, "*batch 1 height width"]:
        """Score images, or draw ``n`` new ones: the Pyro program p(z) p(x | z)."""
        count = n if images is None else len(images)
        like = next(self.decoder.parameters()) if images is None else images
        with pyro.plate("images", count, dim=-1):
            pixels = self.likelihood(self.decoder(self._code(like, count))).to_event(3)
            return pyro.sample("image", pixels, obs=images)

    def _code(self, like: Tensor, count: int) -> Latents:
        if self.prior is not None:
            parts = self.prior.loc, self.prior.root
            loc, root = (part.expand(count, *part.shape) for part in parts)
            return correlated_sites(self.code, loc, root)
        # Both parameters are tensors: a number would be copied to the device at every step.
        zeros, ones = like.new_zeros(()), like.new_ones(())
        return self.code.join(
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

    @property
    def code_prior(self) -> Prior:
        """The prior of the whole code, on the device of the parameters."""
        if self.prior is not None:
            return self.prior
        like = next(self.parameters())
        one = torch.eye(self.code.latents, dtype=like.dtype, device=like.device)
        return Prior(one[0] * 0, one)

    @torch.no_grad()
    def decode(self, latents: Latents) -> Float[Tensor, "*batch 1 side side"]:
        """Mean intensities of the images that the latents render to."""
        mean: Tensor = self.likelihood(self.decoder(latents)).mean
        return mean
