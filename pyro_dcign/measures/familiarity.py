"""Familiarity: how a picture's reconstruction error compares with that of test images."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.images import Pixels, intensities
from pyro_dcign.runs import Run, decode, encode

QUANTILES = (0.5, 0.95, 0.99, 0.999)
IMAGES = 1000
UNLIKE = 4.0
"""Up to so many times the 99 % quantile a picture is unlike what the network knows; beyond, it is
nothing like it."""


@dataclass(frozen=True)
class Familiarity:
    """A picture's reconstruction error beside those of test images.

    Attributes:
        error: Mean squared error of a pixel, intensities in [0, 1].
        times: The error in medians of the test images' errors.
        verdict: What that says, in words.
    """

    error: float
    times: float
    verdict: str

    @property
    def strange(self) -> bool:
        """Whether the picture is nothing like what the network knows."""
        return self.verdict.startswith("nothing")

    def __str__(self) -> str:
        return f"reconstruction error {self.times:.1f} times that of test images: {self.verdict}"


def errors_of(run: Run, pixels: Pixels) -> list[float]:
    """Mean squared error of each image's reconstruction from its posterior mean."""
    pictures = decode(run, encode(run, pixels))
    return [
        float((picture - intensities(image)).square().mean())
        for picture, image in zip(pictures, pixels, strict=True)
    ]


def quantiles_of(run: Run, images: EvaluationSet) -> dict[str, float]:
    """Quantiles of the reconstruction errors of up to 1,000 test images, by their level."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:IMAGES]
    errors = torch.tensor(errors_of(run, images.resized(run.config.side).pixels[order]))
    return {str(level): float(errors.quantile(level)) for level in QUANTILES}


def judged(error: float, quantiles: Mapping[str, float]) -> Familiarity:
    """What an error says, given the quantiles of test images.

    Example:
        >>> str(judged(0.003, {"0.5": 0.001, "0.99": 0.002}))
        'reconstruction error 3.0 times that of test images: unlike what the network knows'
    """
    most = quantiles["0.99"]
    kind = "like" if error <= most else "unlike" if error <= UNLIKE * most else "nothing like"
    return Familiarity(error, error / quantiles["0.5"], f"{kind} what the network knows")
