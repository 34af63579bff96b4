"""A normal prior over a whole code."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.code import Latents


@dataclass(frozen=True)
class Prior:
    """N(loc, L Lᵀ) over a code.

    Attributes:
        loc: Mean of each latent.
        root: L, lower triangular with a positive diagonal.

    Example:
        >>> standard = Prior(torch.zeros(2), torch.eye(2))
        >>> standard.energy(torch.tensor([[3.0, 4.0]]))
        tensor([12.5000])
    """

    loc: Float[Tensor, " latents"]
    root: Float[Tensor, "latents latents"]

    def energy(self, z: Latents) -> Float[Tensor, "*batch"]:
        """-log p(z) without its constant."""
        found: Tensor = self.noise(z).square().sum(-1) / 2
        return found

    def noise(self, z: Latents) -> Latents:
        """The standard normal ε of z = loc + L ε."""
        found: Tensor = (z - self.loc) @ torch.linalg.inv(self.root).mT
        return found

    def precision(self) -> Float[Tensor, "latents latents"]:
        """Inverse of the covariance."""
        inverse: Tensor = torch.linalg.inv(self.root)
        return inverse.mT @ inverse

    def scale(self) -> Float[Tensor, " latents"]:
        """Standard deviation of each latent."""
        found: Tensor = self.root.square().sum(-1).sqrt()
        return found

    def divergence(self, loc: Latents, log_scale: Latents) -> Float[Tensor, "*batch"]:
        """KL(N(loc, diag scale²) | prior), in nats."""
        spread = (log_scale * 2).exp() @ self.precision().diagonal()
        sizes = self.root.diagonal().log().sum() - log_scale.sum(-1)
        return self.energy(loc) + (spread - loc.shape[-1]) / 2 + sizes

    def sample(self, count: int) -> Float[Tensor, "count latents"]:
        """Draws of codes."""
        noise = torch.randn(count, len(self.loc), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + noise @ self.root.mT
