"""A handler that keeps every distribution and computes its log density in one kernel."""

from typing import Any

import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_dcign.kernels import usable


class _Normal(dist.Independent):  # type: ignore[misc]
    def rsample(self, sample_shape: Any = ()) -> Tensor:
        base = self.base_dist
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.empty(shape, dtype=base.loc.dtype, device=base.loc.device).normal_()
        return torch.addcmul(base.loc, noise, base.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        from pyro_dcign.kernels.densities import normal_log_prob  # noqa: PLC0415

        if value.shape != self.base_dist.loc.shape:
            found: Tensor = super().log_prob(value)
            return found
        return normal_log_prob(value, self.base_dist.loc, self.base_dist.scale)


class _Bernoulli(dist.Independent):  # type: ignore[misc]
    def log_prob(self, value: Tensor) -> Tensor:
        from pyro_dcign.kernels.densities import bernoulli_log_prob  # noqa: PLC0415

        if value.shape != self.base_dist.logits.shape:
            found: Tensor = super().log_prob(value)
            return found
        return bernoulli_log_prob(self.base_dist.logits, value)


class Fused(Messenger):
    """The same distributions, draws and values; on a GPU in a few kernels instead of dozens.

    It replaces a Normal over an image's latents and a Bernoulli over its pixels, given by logits,
    by themselves with a fused log density; every other site passes. It stands outside the clamp:
    ``Fused()(Clamp(code, active)(guide))``.
    """

    def _pyro_sample(self, msg: Any) -> None:
        fn = msg["fn"]
        if type(fn) is not dist.Independent or len(fn.batch_shape) != 1:
            return
        base, event = fn.base_dist, fn.reinterpreted_batch_ndims
        if type(base) is dist.Normal and event == 1 and usable(base.loc):
            msg["fn"] = _Normal(base, event, validate_args=False)
        elif type(base) is dist.Bernoulli and "logits" in vars(base) and usable(base.logits):
            msg["fn"] = _Bernoulli(base, event, validate_args=False)
