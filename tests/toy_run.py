"""A run whose codes are known: each latent is one pixel of the first row, linearly."""

import dataclasses
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from pyro_dcign.code import FactorRange, GraphicsCode
from pyro_dcign.config import PRESETS
from pyro_dcign.datasets.labelled import EvaluationSet
from pyro_dcign.model.generative import Model
from pyro_dcign.model.networks import Decoder
from pyro_dcign.runs.run import Run

SIDE = 16
SCALE = 40.0  # degrees of one unit of a latent
RANGES = {"azimuth": FactorRange(-80.0, 80.0), "light": FactorRange(-80.0, 80.0)}
FULL_CIRCLE = {"azimuth": FactorRange(0.0, 360.0, (), 360.0), "light": RANGES["light"]}


class ToyDecoder(Decoder):
    """Pixel i of the first row is (5 + z_i) / 10; every other pixel is 1/2."""

    def __init__(self):
        nn.Module.__init__(self)

    def forward(self, latents):
        images = torch.full((len(latents), 1, SIDE, SIDE), 0.5)
        images[:, 0, 0, : latents.shape[1]] = (5 + latents.clamp(-4.9, 4.9)) / 10
        return images.logit()


class ToyGuide(nn.Module):
    """Reads the first row's pixels back, with a narrow posterior."""

    def __init__(self, code):
        super().__init__()
        self.code = code
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images):
        loc = images[:, 0, 0, : self.code.latents] * 10 - 5
        loc = loc * self.weight
        with pyro.plate("images", len(images), dim=-1):
            for name, where in self.code.slices().items():
                pyro.sample(name, dist.Normal(loc[:, where], 0.01, validate_args=False).to_event(1))


def toy_run(folder=Path("toy"), *, ranges=RANGES, handler="mean"):
    sizes = {name: 2 if limits.period else 1 for name, limits in ranges.items()}
    code = GraphicsCode(sizes, intrinsic=3)
    config = dataclasses.replace(
        PRESETS["small"], side=SIDE, latents=code.latents, handler=handler, likelihood="normal"
    )
    model = Model(ToyDecoder(), code, likelihood="normal")
    guide = ToyGuide(code)
    return Run(folder, config, ranges, code, model, guide, torch.device("cpu"))


def toy_set(*, ranges=RANGES, identities=40, seed=0, shift=0):
    """Groups of eight images of one identity in which one factor varies.

    With ``shift``, each latent is written that many pixels further on, around the code.
    """
    draw = torch.Generator().manual_seed(seed)
    images, factors, identity = [], {name: [] for name in ranges}, []
    for who in range(identities):
        intrinsic = torch.randn(3, generator=draw).clamp(-3, 3)
        for varying in ranges:
            values, codes = {}, []
            for name, limits in ranges.items():
                span = limits.high - limits.low
                count = 8 if name == varying else 1
                values[name] = (limits.low + span * torch.rand(count, generator=draw)).expand(8)
                factors[name].append(values[name])
                if limits.period:
                    codes += [values[name].deg2rad().cos(), values[name].deg2rad().sin()]
                else:
                    sign = -1 if name == "azimuth" else 1
                    codes.append(sign * values[name] / SCALE)
            z = torch.cat([torch.stack(codes, -1), intrinsic.expand(8, 3)], -1).roll(shift, -1)
            picture = torch.rand(8, SIDE, SIDE, generator=draw)  # what no code can explain
            picture[:, 0, : z.shape[1]] = (5 + z) / 10
            images.append((picture * 255).round().to(torch.uint8))
            identity += [who] * 8
    return EvaluationSet(
        torch.cat(images),
        {name: torch.cat(values) for name, values in factors.items()},
        torch.tensor(identity),
        ranges,
    )
