"""A guide without an encoder: Pyro's AutoGuide, fitted to the very images asked for."""

import pyro
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from torch import Tensor, nn

from pyro_dcign.code import GraphicsCode
from pyro_dcign.diagonal import sample_diagonal
from pyro_dcign.minibatch import Images
from pyro_dcign.model import Model
from pyro_dcign.networks import Encoder


class Auto(nn.Module):
    """q(z | x_1 … x_n): an :class:`AutoNormal` of n rows, from scratch by ``steps`` of SVI.

    Nothing is amortised, so it is for small sets, and the yardstick for what amortising costs. The
    decoder is held while it is fitted; in training it then takes its one step. The fit is seeded
    and kept until the images or the decoder change. Its parameters live in that fit's AutoGuide and
    never in Pyro's store; the encoder is not used.

    ``AutoNormal`` alone fits the bill: every other AutoGuide has one density over all images and
    factors, of which no site has its share.
    """

    capturable = False  # it looks at its images to know whether it has fitted them
    steps = 100
    rate = 0.05

    def __init__(self, encoder: Encoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.seen: tuple[Model, ...] = ()
        self.kept: tuple[Images, int, Tensor, Tensor] | None = None

    def bind(self, model: Model) -> None:
        """The model whose ELBO is climbed; in a tuple, its parameters are not the guide's."""
        self.seen = (model,)

    @torch.enable_grad()
    def _fit(self, images: Images) -> tuple[Tensor, Tensor]:
        (model,) = self.seen
        devices = [images.device] if images.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            poutine.block(),  # what wraps this guide is not for the fit
            pyro.settings.context(module_local_params=True),
            pyro.validation_enabled(False),
        ):
            torch.manual_seed(0)
            auto = AutoNormal(model)
            auto(images)
            parameters = list(auto.parameters())
            optimizer = torch.optim.Adam(parameters, lr=self.rate)
            elbo = Trace_ELBO()
            for _ in range(self.steps):
                loss = elbo.differentiable_loss(model, auto, images)
                gradients = torch.autograd.grad(loss, parameters)  # none reaches the decoder
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
            locs, scales = (
                self.code.join({name: getattr(held, name) for name in self.code.factors})
                for held in (auto.locs, auto.scales)
            )
        return locs.detach(), scales.detach()

    def forward(self, images: Images) -> None:
        """Sample every factor's site."""
        version = sum(p._version for p in self.seen[0].parameters())
        kept = self.kept
        if kept is None or kept[1] != version or not torch.equal(kept[0], images):
            self.kept = kept = (images.clone(), version, *self._fit(images))
        _, _, loc, scale = kept
        sample_diagonal(self.code, loc, scale)
