"""A run whose posterior is known: a linear decoder under a Normal likelihood."""

import dataclasses
from pathlib import Path

import pyro.distributions as dist
import torch
from torch import nn

from pyro_dcign.code import FactorRange, GraphicsCode
from pyro_dcign.config import PRESETS
from pyro_dcign.guides.chain import sample_chain
from pyro_dcign.model.generative import Model
from pyro_dcign.model.networks import Decoder
from pyro_dcign.runs.run import Run

SIDE = 16
NOISE = 0.1
RANGES = {"azimuth": FactorRange(-80.0, 80.0), "light": FactorRange(-80.0, 80.0)}
CODE = GraphicsCode({"azimuth": 1, "light": 1}, intrinsic=2)


class LinearDecoder(Decoder):
    """x = 1/2 + W z; azimuth and light share pixels, the intrinsic columns stand apart."""

    def __init__(self):
        nn.Module.__init__(self)
        basis, _ = torch.linalg.qr(
            torch.randn(SIDE**2, 4, generator=torch.Generator().manual_seed(0))
        )
        basis[:, 1] = 0.6 * basis[:, 0] + 0.8 * basis[:, 1]
        self.weight = nn.Parameter(0.3 * basis)

    def forward(self, latents):
        return (0.5 + latents @ self.weight.T).unflatten(-1, (1, SIDE, SIDE))


class LinearGuide(nn.Module):
    """The exact posterior N(m(x), S), or one whose sd or mean is off by so much."""

    def __init__(self, decoder, *, wider=1.0, shift=0.0):
        super().__init__()
        w = decoder.weight.detach()
        covariance = torch.linalg.inv(torch.eye(4) + w.T @ w / NOISE**2)
        self.read = nn.Parameter(covariance @ w.T / NOISE**2)
        self.triangle = wider * torch.linalg.cholesky(covariance)
        self.shift = shift * covariance.diagonal().sqrt() * torch.tensor([1.0, 0, 0, 0])

    def forward(self, images):
        loc = (images.flatten(1) - 0.5) @ self.read.T + self.shift
        scale = self.triangle.diagonal().expand_as(loc)
        sample_chain(CODE, loc, scale, self.triangle[:2, :2].expand(len(images), 2, 2))


def linear_run(folder=Path("linear"), **changes):
    config = dataclasses.replace(
        PRESETS["small"], side=SIDE, latents=4, likelihood="normal", device="cpu"
    )
    decoder = LinearDecoder()
    model = Model(decoder, CODE, likelihood="normal")
    model.likelihood = lambda mean: dist.Normal(mean, NOISE, validate_args=False)
    return Run(
        folder, config, RANGES, CODE, model, LinearGuide(decoder, **changes), torch.device("cpu")
    )


def linear_images(count, seed=0):
    """Pixels from the model itself: (count, side, side) in 8 bits, and their codes."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 4, generator=draw)
    mean = LinearDecoder()(z).squeeze(1)
    pixels = mean + NOISE * torch.randn(mean.shape, generator=draw)
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).detach(), z
