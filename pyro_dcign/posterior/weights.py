"""Importance weights of a guide: how far p(z, x) and q(z | x) differ at the guide's own draws."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_dcign.code import INTRINSIC, GraphicsCode, Latents
from pyro_dcign.images import Images, Pixels, intensities
from pyro_dcign.posterior.arviz_bridge import Array
from pyro_dcign.runs import IMAGES_AT_ONCE, Run, batch_size, posterior_mean, undisturbed


@dataclass(frozen=True)
class Drawn:
    """Draws of codes and the logarithms of their densities, each (draws, images), in nats.

    Attributes:
        codes: (draws, images, latents).
        likelihood: log p(x | z).
        prior: log p(z).
        guide: log q(z | x).
    """

    codes: Latents
    likelihood: Float[Tensor, "draws images"]
    prior: Float[Tensor, "draws images"]
    guide: Float[Tensor, "draws images"]

    @property
    def log_weights(self) -> Array:
        """log p(x, z) - log q(z | x) in double precision."""
        terms = (part.double().numpy() for part in (self.likelihood, self.prior, self.guide))
        likelihood, prior, guide = terms
        found: Array = likelihood + prior - guide
        return found


class Held(Messenger):
    """Give one site of a guide a value that does not depend on its draw."""

    def __init__(self, site: str, value: Tensor) -> None:
        super().__init__()
        self.site, self.value = site, value

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.site:
            msg["value"], msg["done"] = self.value, True


def _trace(program: Any, images: Images, draws: int) -> Any:
    with pyro.plate("draws", draws, dim=-2):
        trace: Any = poutine.trace(program).get_trace(images)
    trace.compute_log_prob()
    return trace


def _densities(nodes: Any, names: tuple[str, ...]) -> Tensor:
    return torch.stack([nodes[name]["log_prob"] for name in names]).sum(0)


def _draw(
    run: Run, images: Images, draws: int, *, held: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of :class:`Drawn` for images on the device.

    The guide draws every code at once, so one that climbs the ELBO of its images does it once; the
    pictures are as many as fit into memory.

    Args:
        held: Intrinsic latents that are not drawn: (images, latents). The densities are then those
            of the extrinsic latents alone, given these.
    """
    code: GraphicsCode = run.code
    guide = run.guide
    names = code.factors
    if held is not None:
        guide = Held(INTRINSIC, held.expand(draws, *held.shape))(run.guide)
        names = tuple(name for name in names if name != INTRINSIC)
    nodes = _trace(guide, images, draws).nodes
    codes = code.join({name: nodes[name]["value"] for name in code.factors})
    likelihood, prior = [], []
    for some in codes.split(max(1, batch_size(run) // len(images))):
        given: Any = poutine.condition(run.model, data=code.split(some))
        scored = _trace(given, images, len(some)).nodes
        likelihood.append(scored["image"]["log_prob"])
        prior.append(_densities(scored, names))
    return codes, torch.cat(likelihood), torch.cat(prior), _densities(nodes, names)


def importance(
    run: Run, pixels: Pixels, *, draws: int, seed: int = 0, extrinsic: bool = False
) -> Drawn:
    """Draws of each image's code from the guide, unclamped, with every density; on the CPU.

    Memory holds one batch of pictures at a time, whatever the numbers of images and draws.

    Args:
        extrinsic: Draw the extrinsic latents only and keep the intrinsic ones at their posterior
            mean: the weights then compare q(extrinsic | x) with p(extrinsic | x, intrinsic).
    """
    found: list[list[Tensor]] = []
    with undisturbed(run, seed=seed), pyro.validation_enabled(False):
        for chunk in pixels.split(IMAGES_AT_ONCE):
            images, held = intensities(chunk.to(run.device)), None
            if extrinsic:
                held = run.code.split(posterior_mean(run.guide, images, run.code))[INTRINSIC]
            parts = _draw(run, images, draws, held=held)
            found.append([part.cpu() for part in parts])
    codes, likelihood, prior, guide = (torch.cat(part, 1) for part in zip(*found, strict=True))
    return Drawn(codes, likelihood, prior, guide)


def bounds(log_weights: Array) -> tuple[Array, Array]:
    """ELBO and importance-weighted bound of each image, in nats, from (draws, images).

    The second is log mean w (Burda, Grosse, Salakhutdinov 2016, arXiv 1509.00519): between the ELBO
    and log p(x), so what it gains is a lower bound, in expectation, of KL(q | p(z given x)).
    """
    top = log_weights.max(0)
    return log_weights.mean(0), top + np.log(np.exp(log_weights - top).mean(0))
