"""Guides without an encoder: Pyro's AutoGuides, fitted to the very images asked for."""

import pyro
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import (
    AutoDiagonalNormal,
    AutoGuide,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images
from pyro_dcign.model import AnyEncoder, Guide, Model, sample_correlated, sample_diagonal

Normals = tuple[Float[Tensor, "images latents"], Float[Tensor, "images latents latents"]]
"""Location and lower triangular root of the covariance of each image's code."""

INDEPENDENT = (AutoNormal, AutoDiagonalNormal)
CORRELATED = (AutoLowRankMultivariateNormal, AutoMultivariateNormal)


class Auto(Guide):
    """q(z | x_i) = N(z; m_i, L_i L_iᵀ): an AutoGuide for each image, by ``steps`` of SVI.

    Nothing is amortised, so it is for small sets, and the yardstick for what amortising costs. The
    decoder is held while it is fitted; in training it then takes its one step. The fit is seeded
    and kept until the images or the decoder change. Its parameters live in that fit's AutoGuide and
    never in Pyro's store; the encoder is not used.

    A subclass names another ``kind``. It has to be normal over an image's code: then each factor
    has its conditional given the factors before. AutoIAFNormal has one density over the code and
    none for a factor; AutoDelta and AutoLaplaceApproximation are points while they are fitted.

    Raises:
        InputError: A kind that is not normal.
    """

    capturable = False  # it looks at its images to know whether it has fitted them
    kind: type[AutoGuide] = AutoNormal
    steps = 250
    rate = 0.05

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        if not issubclass(self.kind, INDEPENDENT + CORRELATED):
            known = ", ".join(one.__name__ for one in INDEPENDENT + CORRELATED)
            raise InputError(
                f"an AutoGuide is to be normal over an image's code, one of {known}, got "
                f"{self.kind.__name__}; for other shapes use --guide flow"
            )
        self.encoder, self.code = encoder, code
        self.seen: tuple[Model, ...] = ()
        self.kept: tuple[Images, int, Normals] | None = None

    def bind(self, model: Model) -> None:
        """The model whose ELBO is climbed; in a tuple, its parameters are not the guide's."""
        self.seen = (model,)

    @torch.enable_grad()
    def _fit(self, images: Images) -> Normals:
        (model,) = self.seen
        devices = [images.device] if images.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            poutine.block(),  # what wraps this guide is not for the fit
            pyro.settings.context(module_local_params=True),
            pyro.validation_enabled(False),
        ):
            torch.manual_seed(0)
            auto = self.kind(model)
            auto(images)
            parameters = list(auto.parameters())
            optimizer = torch.optim.Adam(parameters, lr=self.rate)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
            elbo = Trace_ELBO()
            for _ in range(self.steps):
                loss = elbo.differentiable_loss(model, auto, images)
                gradients = torch.autograd.grad(loss, parameters)  # none reaches the decoder
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
                schedule.step()
            with torch.no_grad():
                return self._normals(auto)

    def _normals(self, auto: AutoGuide) -> Normals:
        if isinstance(auto, AutoNormal):
            locs, scales = (
                self.code.join({name: getattr(held, name) for name in self.code.factors})
                for held in (auto.locs, auto.scales)
            )
            return locs.clone(), torch.diag_embed(scales)
        posterior = auto.get_posterior()
        if isinstance(auto, AutoDiagonalNormal):
            posterior = posterior.base_dist
            return posterior.loc[None].clone(), torch.diag_embed(posterior.scale)[None]
        return posterior.loc[None].clone(), posterior.scale_tril[None]

    def _fits(self, images: Images) -> Normals:
        # AutoNormal has a plate for its images; any other would have one density over all of them.
        together = issubclass(self.kind, AutoNormal)
        parts = [self._fit(some) for some in images.split(len(images) if together else 1)]
        locs, roots = zip(*parts, strict=True)
        return torch.cat(locs), torch.cat(roots)

    def forward(self, images: Images) -> None:
        """Sample every factor's site, given the factors before where they are correlated."""
        version = sum(p._version for p in self.seen[0].parameters())
        kept = self.kept
        if kept is None or kept[1] != version or not torch.equal(kept[0], images):
            self.kept = kept = (images.clone(), version, self._fits(images))
        loc, root = kept[2]
        if issubclass(self.kind, INDEPENDENT):
            return sample_diagonal(self.code, loc, root.diagonal(dim1=-2, dim2=-1))
        sample_correlated(self.code, loc, root)


class AutoLowRank(Auto):
    """A covariance of low rank (the root of the latents' number) plus a diagonal, by image."""

    kind = AutoLowRankMultivariateNormal
    clamp_on = "draw"


class AutoFullRank(Auto):
    """A full covariance over an image's code."""

    kind = AutoMultivariateNormal
    clamp_on = "draw"
