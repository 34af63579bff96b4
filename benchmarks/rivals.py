"""What a user could run instead, on the same network and data: the rivals of a benchmark."""

from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from plain_residual import plain_networks
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from pyro_dcign.code import GraphicsCode
from pyro_dcign.config import Config
from pyro_dcign.images import Images
from pyro_dcign.machine import tf32_matmul, usable
from pyro_dcign.model import Active, Clamp, Losses, linear_head
from pyro_dcign.model.clamp import clamp, clamp_both
from pyro_dcign.model.diagonal import draw
from pyro_dcign.runs import Run
from pyro_dcign.training.optimizers import adam

Step = Callable[[Images, Active], None]
"""One update on images that are minibatches in a row, given which factor varies in each."""


def plain_encoder(maps: Sequence[int], kernel: int) -> nn.Sequential:
    """Convolution, pooling and ReLU, as a user writes them."""
    layers: list[nn.Module] = []
    for before, after in zip([1, *maps[:-1]], maps, strict=True):
        layers += [nn.Conv2d(before, after, kernel), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten())


class PlainDecoder(nn.Module):
    """Upsampling, convolution and ReLU, as a user writes them."""

    def __init__(self, config: Config, first: int) -> None:
        super().__init__()
        self.maps, self.first, self.side = config.decoder_maps[0], first, config.side
        self.linear = nn.Linear(config.latents, self.maps * first**2)
        layers: list[nn.Module] = []
        sizes = zip(
            config.decoder_maps[:-1], config.decoder_maps[1:], config.decoder_kernels, strict=True
        )
        for before, after, kernel in sizes:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, kernel), nn.ReLU()]
        self.blocks = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        """Logits of the images."""
        x = F.relu(self.linear(z)).view(-1, self.maps, self.first, self.first)
        logits: Tensor = self.blocks(x)
        return logits[..., : self.side, : self.side]


class PlainVAE(nn.Module):
    """The network of a run as one module, with the model and the guide of a Pyro tutorial."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        config = run.config
        self.code: GraphicsCode = run.code
        features = run.guide.encoder.features
        if config.network == "residual":
            self.encoder, self.decoder = plain_networks(config, config.latents)
        else:
            self.encoder = plain_encoder(config.encoder_maps, config.encoder_kernel)
            self.decoder = PlainDecoder(config, run.model.decoder.sizes[0])
        self.loc = linear_head(features, config.latents)
        self.log_variance = linear_head(features, config.latents)

    def encode(self, images: Images) -> tuple[Tensor, Tensor]:
        """Location and scale of the codes."""
        features = self.encoder(images)
        return self.loc(features), (self.log_variance(features) / 2).exp()

    def model(self, images: Images) -> None:
        """The Pyro program p(z) p(x | z)."""
        pyro.module("vae", self)
        with pyro.plate("images", len(images)):
            z = [
                pyro.sample(
                    name,
                    dist.Normal(
                        images.new_zeros(len(images), size), images.new_ones(len(images), size)
                    ).to_event(1),
                )
                for name, size in self.code.sizes.items()
            ]
            logits = self.decoder(torch.cat(z, -1))
            pixels = dist.Bernoulli(logits=logits, validate_args=False).to_event(3)
            pyro.sample("image", pixels, obs=images)

    def guide(self, images: Images) -> None:
        """The Pyro program q(z | x)."""
        pyro.module("vae", self)
        with pyro.plate("images", len(images)):
            loc, scale = self.encode(images)
            for name, where in self.code.slices().items():
                pyro.sample(name, dist.Normal(loc[:, where], scale[:, where]).to_event(1))


def plain_pyro(run: Run) -> Step:
    """SVI, ``pyro.optim.Adam`` and ``Trace_ELBO`` in float32, with the clamp as a handler."""
    pyro.clear_param_store()
    vae = PlainVAE(run).to(run.device)
    optim: Any = pyro.optim  # its optimisers are made at import, unseen by type checkers
    optimizer = optim.Adam({"lr": 5e-4, "betas": (0.9, 0.99)})

    def step(images: Images, active: Active) -> None:
        SVI(vae.model, Clamp(run.code, active)(vae.guide), optimizer, Trace_ELBO()).step(images)

    return step


def _clamped(z: Tensor, mask: Tensor) -> Tensor:
    return clamp(z.unflatten(0, (len(mask), -1)), mask).flatten(0, 1)


def plain_pytorch(run: Run, *, compiled: bool = False) -> Step:
    """The same networks and loss without Pyro, ``torch.optim.Adam``, float32.

    With ``compiled`` both networks are given to ``torch.compile``.
    """
    vae = PlainVAE(run).to(run.device)
    if compiled:
        vae.encoder.compile()
        vae.decoder.compile()
    optimizer = torch.optim.Adam(vae.parameters(), 5e-4, betas=(0.9, 0.99))

    def step(images: Images, active: Active) -> None:
        optimizer.zero_grad()
        mask = run.code.active_latents(active).unsqueeze(1)
        loc, scale = (_clamped(z, mask) for z in vae.encode(images))
        z = loc + scale * torch.randn_like(loc)
        q, p = torch.distributions.Normal(loc, scale), torch.distributions.Normal(0.0, 1.0)
        kl = q.log_prob(z).sum() - p.log_prob(z).sum()
        logits = vae.decoder(z)
        loss = F.binary_cross_entropy_with_logits(logits, images, reduction="sum") + kl
        loss.backward()
        optimizer.step()

    return step


class Tricks:
    """The run's networks and every trick of ours in plain PyTorch: what remains is Pyro's share.

    It takes the place of a :class:`~pyro_dcign.training.svi.TypedSVI` in a plain or a
    captured step.
    """

    def __init__(self, run: Run, precision: torch.dtype) -> None:
        self.run, self.precision = run, precision
        cuda = run.device.type == "cuda"
        self.optimizer = adam(run.modules.parameters(), capturable=cuda)

    def gradients(self, images: Images, active: Active, wanted: None = None) -> Losses:
        """Losses of the clamped step; gradients are added to the parameters'."""
        guide, kind = self.run.guide, images.device.type
        lowered = self.precision != torch.float32
        with tf32_matmul(images, lowered), torch.autocast(kind, self.precision, enabled=lowered):
            features = guide.encoder(images)
            with torch.autocast(kind, enabled=False):
                loc = guide.loc(features)
                scale = (guide.log_variance(features) / 2).exp()
            mask = self.run.code.active_latents(active)
            loc, scale = clamp_both(loc, scale, mask, strength=0.01, to="mean")
            z, kl = draw(loc, scale, torch.empty_like(loc).normal_())
            reconstruction = self._reconstruction(images, self.run.model.decoder(z))
            each = torch.ones_like(kl)
            with torch.autocast(kind, enabled=False):
                torch.autograd.backward((reconstruction, kl), (each, each))
        return Losses(reconstruction.detach(), kl.detach())

    def _reconstruction(self, images: Images, logits: Tensor) -> Tensor:
        if usable(logits):
            from pyro_dcign.model.kernels.densities import bernoulli_log_prob

            return -bernoulli_log_prob(logits, images)
        bce = F.binary_cross_entropy_with_logits(logits, images, reduction="none")
        return bce.flatten(1).sum(1)

    def step(self, images: Images, active: Active, wanted: None = None) -> Losses:
        """One update of every parameter."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.gradients(images, active)
        self.optimizer.step()
        return losses
