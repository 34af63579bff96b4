"""Likelihoods p(x | z): image logits to a distribution over pixels."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_dcign.errors import InputError

Likelihood = Callable[[Tensor], Any]
"""Image logits to a distribution over each pixel's intensity in [0, 1]."""


def _bernoulli(logits: Tensor) -> Any:
    # Grey values are no Bernoulli outcomes, so validation must stay off: this is the paper's
    # binary cross-entropy on intensities.
    return dist.Bernoulli(logits=logits, validate_args=False)


def _continuous_bernoulli(logits: Tensor) -> Any:
    return dist.ContinuousBernoulli(logits=logits, validate_args=False)


def _normal(scale: float, logits: Tensor) -> Any:
    scales = torch.full_like(logits, scale)
    return dist.Normal(logits.sigmoid(), scales, validate_args=False)


def load_likelihood(name: str, pixel_scale: float) -> Likelihood:
    """The likelihood of that name; the normal one's standard deviation of a pixel.

    Raises:
        InputError: An unknown name.
    """
    found: dict[str, Likelihood] = {
        "bernoulli": _bernoulli,
        "continuous_bernoulli": _continuous_bernoulli,
        "normal": partial(_normal, pixel_scale),
    }
    if name not in found:
        raise InputError(f"likelihood is one of {', '.join(found)}, got {name!r}; choose one")
    return found[name]
