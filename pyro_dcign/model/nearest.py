"""The normal nearest to p(z | x), by Gauss-Newton steps for many images at once."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.images import Images
from pyro_dcign.model.generative import Model
from pyro_dcign.model.likelihoods import precision as weights

Centres = Float[Tensor, "images latents"]
Matrices = Float[Tensor, "images latents latents"]

_PIXELS = {"cpu": 400_000, "cuda": 16_000_000}
_NARROW, _WIDE = 1 / 3, 4.0
_LEAST, _MOST = 1e-4, 1e6


@dataclass(frozen=True)
class NormalFit:
    """How far :func:`nearest_normal` goes.

    Attributes:
        climbs: Jacobians of the climb to the mode.
        steps: Damped steps with each of them.
        rounds: Jacobians of the fit, each at a draw of the normal so far.
        moves: Moves of the mean with each of them.
        pairs: Antithetic pairs of draws for each move.
        rate: Share of a Gauss-Newton step that a move takes.
    """

    climbs: int = 3
    steps: int = 6
    rounds: int = 8
    moves: int = 4
    pairs: int = 2
    rate: float = 0.3

    @property
    def noise(self) -> tuple[int, int, int]:
        """Draws that a fit uses: rounds, moves and pairs."""
        return self.rounds, self.moves, self.pairs


def energy(
    model: Model, images: Images, z: Float[Tensor, "*draws images latents"]
) -> tuple[Float[Tensor, "*draws images"], Float[Tensor, "*draws images latents"]]:
    """-log p(x, z) up to a constant, and its gradient with respect to the code."""
    with torch.enable_grad():
        at = z.detach().requires_grad_()
        pixels: Any = model.likelihood(model.decoder(at)).to_event(3)
        found: Tensor = model.code_prior.energy(at) - pixels.log_prob(images)
        (gradient,) = torch.autograd.grad(found.sum(), at)
    return found.detach(), gradient


@torch.no_grad()
def curvature(model: Model, z: Centres) -> Matrices:
    """Gauss-Newton curvature of -log p(x, z): Jᵀ F J + the prior's, J that of the pixels' means.

    F is the Fisher information of each pixel in its mean. J comes by forward mode, all its columns
    as one batch.
    """

    def mean(at: Tensor) -> Tensor:
        found: Tensor = model.likelihood(model.decoder(at)).mean
        return found

    def column(direction: Tensor) -> Tensor:
        found: Any = torch.func.jvp(mean, (z,), (direction.expand_as(z),))
        tangent: Tensor = found[1]
        return tangent

    one = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    precision = weights(model.likelihood(model.decoder(z)))
    at_once = max(1, _PIXELS[z.device.type] // precision.numel())
    columns: Any = torch.func.vmap(column, chunk_size=at_once)(one)
    jacobian = (columns * precision.sqrt()).flatten(2).transpose(0, 1)
    found: Tensor = jacobian @ jacobian.mT + model.code_prior.precision()
    return found


def _solve(matrices: Matrices, vectors: Centres) -> Centres:
    # Unchecked, the device need not wait for the host; every matrix here is positive definite.
    root = torch.linalg.cholesky_ex(matrices, check_errors=False).L
    return torch.cholesky_solve(vectors.unsqueeze(-1), root).squeeze(-1)


def climb(
    model: Model, images: Images, start: Centres, effort: NormalFit
) -> tuple[Centres, Matrices]:
    """Codes that raise log p(x, z), and the last curvature on the way.

    Steps are Gauss-Newton's with the damping of Levenberg and Marquardt, by image: a step that
    does not raise log p is not taken. Several steps share a Jacobian, which costs as much as
    30 gradients.
    """
    z = start
    value, gradient = energy(model, images, z)
    damping = torch.full_like(value, 1e-2)
    matrices = torch.empty(0)
    for _ in range(effort.climbs):
        matrices = curvature(model, z)
        diagonal = torch.diag_embed(matrices.diagonal(dim1=-2, dim2=-1))
        for _ in range(effort.steps):
            there = z - _solve(matrices + damping[:, None, None] * diagonal, gradient)
            new, slope = energy(model, images, there)
            better = new < value
            damping = torch.where(better, damping * _NARROW, damping * _WIDE).clamp(_LEAST, _MOST)
            value = torch.where(better, new, value)
            z, gradient = (
                torch.where(better.unsqueeze(-1), moved, kept)
                for moved, kept in ((there, z), (slope, gradient))
            )
    return z, matrices


@torch.no_grad()
def nearest_normal(
    model: Model,
    images: Images,
    start: Centres,
    noise: Float[Tensor, "rounds moves pairs latents"],
    effort: NormalFit,
) -> tuple[Centres, Matrices]:
    """Mean m and root L of a normal N(m, L Lᵀ) with little KL(q | p(z | x)), for each image.

    After the climb from ``start``, natural-gradient steps on the ELBO: the mean moves against the
    gradient of -log p averaged over draws, and the precision is the average of the Gauss-Newton
    curvature over draws, later ones counting more (variational online Gauss-Newton; Khan et al.
    2018, arXiv 1806.04854). Averages see what the mode does not: a rectified decoder bends
    between the mode and the draws. ``noise`` makes the draws, the same for every image, so that
    the normal is a function of the image.

    Returns:
        m (images, latents) and L (images, latents, latents), lower triangular.
    """
    found = []
    at_once = max(1, _PIXELS[images.device.type] // (images[0].numel() * start.shape[-1]))
    for some, begin in zip(images.split(at_once), start.split(at_once), strict=True):
        found.append(_fit(model, some, begin, noise, effort))
    means, precisions = (torch.cat(parts) for parts in zip(*found, strict=True))
    wide = torch.linalg.cholesky_ex(precisions.double(), check_errors=False).L
    covariance = torch.cholesky_inverse(wide)
    root = torch.linalg.cholesky_ex(covariance, check_errors=False).L
    return means, root.to(means.dtype)


def _fit(
    model: Model, images: Images, start: Centres, noise: Tensor, effort: NormalFit
) -> tuple[Centres, Matrices]:
    mean, precision = climb(model, images, start, effort)
    total = 1.0
    for number, moves in enumerate(noise):
        upper = torch.linalg.cholesky_ex(precision, check_errors=False).L.mT
        for first, pairs in enumerate(moves):
            # Cᵀ d = ε for the precision C Cᵀ, so d has its inverse as covariance.
            whole = pairs.unsqueeze(1).expand(-1, len(mean), -1).unsqueeze(-1)
            away = torch.linalg.solve_triangular(upper, whole, upper=True).squeeze(-1)
            if first == 0:
                total += number + 2
                share = (number + 2) / total
                precision = torch.lerp(precision, curvature(model, mean + away[0]), share)
            _, slopes = energy(model, images, torch.cat([mean + away, mean - away]))
            mean = mean - effort.rate * _solve(precision, slopes.mean(0))
    return mean, precision
