"""What the clamp and the exchange share: sites built from location and scale."""

from typing import Any

import pyro.distributions as dist
from jaxtyping import Bool
from pyro.distributions import TransformedDistribution
from torch import Tensor

from pyro_dcign.code import GraphicsCode

Active = Bool[Tensor, "*groups factors"]
"""Which factors vary in a minibatch, for one minibatch or several in a row."""


def active_at(code: GraphicsCode, active: Active, site: str) -> Bool[Tensor, "groups 1"]:
    """In which minibatches the factor of a site varies."""
    return active[..., code.index(site)].reshape(-1, 1)


def loc_scale(fn: Any) -> tuple[Any, int] | None:
    """The location-scale distribution of a site and its number of event dimensions.

    None where a location and a scale do not give the distribution.
    """
    event = 0
    while hasattr(fn, "reinterpreted_batch_ndims"):
        event += fn.reinterpreted_batch_ndims
        fn = fn.base_dist
    constraints = getattr(fn, "arg_constraints", {})
    if isinstance(fn, TransformedDistribution) or not {"loc", "scale"} <= set(constraints):
        return None
    return fn, event


class Around(dist.TorchDistribution):  # type: ignore[misc]
    """A site's distribution within another, which changes what becomes of its draws."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn
        super().__init__(fn.batch_shape, fn.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As of the distribution within."""
        return bool(self.fn.has_rsample)

    @property
    def support(self) -> Any:
        """As of the distribution within."""
        return self.fn.support

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """As of the distribution within."""
        drawn: Tensor = self.fn.rsample(sample_shape)
        return drawn
