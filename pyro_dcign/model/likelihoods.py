"""Likelihoods p(x | z): image logits to a distribution over pixels."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_dcign.errors import InputError

Likelihood = Callable[[Tensor], Any]
"""Image logits to a distribution over each pixel's intensity in [0, 1]."""


def _bernoulli(logits: Tensor) -> Any:
    # Grey values are no Bernoulli outcomes, so validation must stay off: this is the paper's
    # binary cross-entropy on intensities.
    return dist.Bernoulli(logits=logits, validate_args=False)


def _continuous_bernoulli(logits: Tensor) -> Any:
    return dist.ContinuousBernoulli(logits=logits, validate_args=False)


def _normal(logits: Tensor, *, scale: float) -> Any:
    scales = torch.full_like(logits, scale)
    return dist.Normal(logits.sigmoid(), scales, validate_args=False)


STEP = 1 / 255 / 12**0.5
"""Standard deviation of rounding to 8 bits: no learned noise is finer."""


class LearnedNormal(nn.Module):
    """A normal whose standard deviation, one number for all pixels, is learned."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(max(scale - STEP, STEP)).log())

    def scales(self, mean: Tensor) -> Tensor:
        """Standard deviation of each pixel."""
        return (STEP + self.raw.exp()).expand_as(mean)

    def forward(self, logits: Tensor) -> Any:
        """The distribution of each pixel."""
        mean = logits.sigmoid()
        return dist.Normal(mean, self.scales(mean), validate_args=False)


class NormalMap(LearnedNormal):
    """A normal whose standard deviation at a pixel is read from the decoded picture around it.

    Two convolutions tell edges, where pictures err, from ground and from flat skin. It is the
    picture's mean that they see, so any decoder will do, and one noise for all pixels is where
    training starts.
    """

    maps = 8

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        last = nn.Conv2d(self.maps, 1, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.network = nn.Sequential(nn.Conv2d(1, self.maps, 5, padding=2), nn.Softplus(), last)

    def scales(self, mean: Tensor) -> Tensor:
        """Standard deviation of each pixel."""
        found: Tensor = self.network(mean.flatten(0, -4)).view(mean.shape)
        # The network's share is within a factor of 400, so that no step is lost to infinity.
        return STEP + (self.raw + 6 * (found / 6).tanh()).exp()


class StudentTMap(NormalMap):
    """Student's t with such a scale map; its degrees of freedom, above 2, are learned."""

    def __init__(self, scale: float) -> None:
        super().__init__(scale)
        self.freedom = nn.Parameter(torch.tensor(2.0))

    def forward(self, logits: Tensor) -> Any:
        """The distribution of each pixel."""
        mean = logits.sigmoid()
        freedom = (2 + self.freedom.exp()).expand_as(mean)
        return dist.StudentT(freedom, mean, self.scales(mean), validate_args=False)


def precision(pixels: Any) -> Tensor:
    """Fisher information of each pixel in its mean, where the scale is held."""
    if isinstance(pixels, dist.StudentT):
        found: Tensor = (pixels.df + 1) / (pixels.df + 3) / pixels.scale**2
        return found
    # In single precision the variance of a saturated continuous Bernoulli may come out negative.
    inverse: Tensor = pixels.variance.nan_to_num(0.0).clamp(min=STEP**2).reciprocal()
    return inverse


def load_likelihood(name: str, pixel_scale: float) -> Likelihood:
    """The likelihood of that name; ``pixel_scale`` is, or starts, a pixel's standard deviation.

    Raises:
        InputError: An unknown name.
    """
    learned = {
        "normal_learned": LearnedNormal,
        "normal_map": NormalMap,
        "student_t": StudentTMap,
    }
    if name in learned:
        return learned[name](pixel_scale)
    found: dict[str, Likelihood] = {
        "bernoulli": _bernoulli,
        "continuous_bernoulli": _continuous_bernoulli,
        "normal": partial(_normal, scale=pixel_scale),  # a closure could not be pickled
    }
    if name not in found:
        raise InputError(
            f"likelihood is one of {', '.join([*found, *learned])}, got {name!r}; choose one"
        )
    return found[name]
