"""Codes of many images, and images of many codes, in batches: what every measure starts from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_dcign.code import GraphicsCode, Latents
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images, Pixels, intensities
from pyro_dcign.machine import kept_heap
from pyro_dcign.model import unclamped_losses
from pyro_dcign.runs.run import Run

Codes = Float[Tensor, "images latents"]


@contextmanager
def undisturbed(run: Run, *, seed: int = 0) -> Iterator[None]:
    """Read a run without a trace: no gradients, evaluation mode, draws from a seed of their own.

    The networks' modes, every global generator and the heap are afterwards as they were. It does
    not nest.
    """
    modes = [(module, module.training) for module in run.modules.modules()]
    devices = [run.device] if run.device.type == "cuda" else []
    # Pictures come in batches of one size: a third of a semi_amortised guide's time on a CPU.
    with torch.random.fork_rng(devices=devices), torch.no_grad(), kept_heap():
        torch.manual_seed(seed)
        try:
            for module, _ in modes:
                module.training = False
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def batch_size(run: Run) -> int:
    """Images that a network may hold at once in a few hundred MB."""
    pixels = 4_000_000 if run.device.type == "cuda" else 400_000
    return max(4, pixels // run.config.side**2)


def _seen(run: Run, pixels: Pixels) -> Iterator[Images]:
    for chunk in pixels.split(batch_size(run)):
        yield intensities(chunk.to(run.device))


def encode(run: Run, pixels: Pixels) -> Codes:
    """Posterior means of the codes of images, the guide unclamped; on the CPU.

    Raises:
        InputError: Codes that are not finite, as after a training that diverged.
    """
    with undisturbed(run):
        codes = [posterior_mean(run.guide, images, run.code).cpu() for images in _seen(run, pixels)]
    found = torch.cat(codes)
    if not found.isfinite().all():
        raise InputError(
            f"{run.folder} is to give finite codes, got NaN or infinity; its training diverged, "
            "fit again with a lower --learning-rate"
        )
    return found


def decode(run: Run, codes: Codes) -> Images:
    """Mean intensities of the images that codes render to; on the CPU."""
    with undisturbed(run):
        chunks = codes.split(batch_size(run))
        return torch.cat([run.model.decode(chunk.to(run.device)).cpu() for chunk in chunks])


class _Drawn(Messenger):
    """Keeps the values of a graphics code's sites."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.factors = run.code.factors
        self.values: dict[str, Tensor] = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["name"] in self.factors:
            self.values[msg["name"]] = msg["value"].cpu()


def draw(
    run: Run, pixels: Pixels, *, seed: int = 0
) -> tuple[Codes, Float[Tensor, " images"], Float[Tensor, " images"]]:
    """One draw of each image's code, and the reconstruction and KL terms of its negative ELBO.

    The guide is run as it is, unclamped; the terms are in nats.
    """
    codes, losses = [], []
    with undisturbed(run, seed=seed):
        for images in _seen(run, pixels):
            with _Drawn(run) as drawn:
                losses.append(unclamped_losses(run.model, run.guide, images))
            codes.append(run.code.join(drawn.values))
    reconstruction, kl = (torch.cat(terms).cpu() for terms in zip(*losses, strict=True))
    return torch.cat(codes), reconstruction, kl


class AtMean(Messenger):
    """Replace each draw of a graphics code's site by the mean of its distribution.

    Where a site's parameters depend on earlier sites, those are at their means as well.
    A distribution whose mean is unknown (a flow) gives the mean of 64 reparametrised draws.
    """

    def __init__(self, code: GraphicsCode) -> None:
        super().__init__()
        self.code = code

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.code.factors and not msg["is_observed"]:
            try:
                msg["value"] = msg["fn"].mean
            except NotImplementedError:
                msg["value"] = msg["fn"].rsample((64,)).mean(0)
            msg["done"] = True


Program = Callable[[Images], Any]
"""A guide, alone or within handlers."""


@torch.no_grad()
def posterior_draw(guide: Program, images: Images, code: GraphicsCode) -> Latents:
    """One draw of the code of each image: (images, latents)."""
    nodes: Any = poutine.trace(guide).get_trace(images).nodes
    return code.join({name: nodes[name]["value"] for name in code.factors})


@torch.no_grad()
def posterior_mean(
    guide: Program, images: Images, code: GraphicsCode
) -> Float[Tensor, "images latents"]:
    """The posterior mean of the code of each image, the code used by every measure."""
    return posterior_draw(AtMean(code)(guide), images, code)


IMAGES_AT_ONCE = 8


def draw_codes(run: Run, images: Images, draws: int) -> Float[Tensor, "draws images latents"]:
    """Draws of each image's code from the guide as it is; the caller keeps the generators."""
    with pyro.plate("draws", draws, dim=-2):
        nodes: Any = poutine.trace(run.guide).get_trace(images).nodes
    codes: Tensor = run.code.join({name: nodes[name]["value"] for name in run.code.factors})
    return codes.detach()
