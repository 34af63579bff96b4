"""The encoder proposes, a few steps of SVI for each image improve."""

import torch
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, Model, linear_head, sample_diagonal


class SemiAmortised(Guide):
    """q(z | x) = N(loc_K, diag scale_K²), K natural-gradient steps on the ELBO from loc_0(x).

    Each step adds ``rate · scale² ∇loc`` and ``rate/2 · ∇log scale``, neither by more than one
    scale nor half a log scale. The draws inside the ELBO are two fixed antithetic pairs, so the
    posterior is a function of the image. The encoder learns as if its proposal had been the
    improved one (straight through; Kim et al. 2018, arXiv 1802.02550, differentiate the steps too).
    """

    steps = 3
    rate = 0.5
    noise: Tensor

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)
        half = torch.randn(2, 1, code.latents, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", torch.cat([half, -half]), persistent=False)
        self.seen: tuple[Model, ...] = ()

    def bind(self, model: Model) -> None:
        """The model whose ELBO is climbed; in a tuple, its parameters are not the guide's."""
        self.seen = (model,)

    def _elbo(self, images: Images, loc: Tensor, log_scale: Tensor) -> Tensor:
        (model,) = self.seen
        z = loc + log_scale.exp() * self.noise.to(loc)
        pixels = model.likelihood(model.decoder(z)).to_event(3)
        kl = model.code_prior.divergence(loc, log_scale)
        elbo: Tensor = pixels.log_prob(images).mean(0) - kl
        return elbo

    @torch.enable_grad()
    def improve(self, images: Images, loc: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
        """Location and log scale after the steps; no gradient leads back."""
        for _ in range(self.steps):
            loc, log_scale = (p.detach().requires_grad_() for p in (loc, log_scale))
            elbo = self._elbo(images, loc, log_scale).sum()
            up, wider = torch.autograd.grad(elbo, (loc, log_scale))
            scale = log_scale.exp()
            loc = loc + scale * (self.rate * scale * up).clamp(-1, 1)
            log_scale = log_scale + (self.rate / 2 * wider).clamp(-0.5, 0.5)
        return loc.detach(), log_scale.detach()

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        features = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            loc, log_scale = self.loc(features), self.log_variance(features) / 2
        better = self.improve(images, loc, log_scale)
        moved = zip((loc, log_scale), better, strict=True)
        loc, log_scale = (start + (end - start).detach() for start, end in moved)
        sample_diagonal(self.code, loc, log_scale.exp())
