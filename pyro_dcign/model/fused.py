"""A handler that keeps every distribution, and draws and scores them in few operations."""

from collections.abc import Iterable
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_dcign.machine import usable
from pyro_dcign.model.diagonal import Diagonal, Share, Standard, draw, noise_like


class Drawn:
    """One draw of all latents of a :class:`Diagonal`.

    Attributes:
        values: The draw of each site.
        divergence: log q - log p of each image under standard normal priors.
    """

    def __init__(self, whole: Diagonal) -> None:
        z, self.divergence = draw(whole.loc, whole.scale, noise_like(whole.code, whole.loc))
        self.values = whole.code.split(z)
        self.left = dict(self.values)


class _Share(Share):
    """A site whose first draw is its share of the whole's; another is its own."""

    drawn: Drawn

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        value = None if len(sample_shape) else self.drawn.left.pop(self.name, None)
        drawn: Tensor = super().rsample(sample_shape) if value is None else value
        return drawn


class _Normal(dist.Independent):  # type: ignore[misc]
    def rsample(self, sample_shape: Any = ()) -> Tensor:
        base = self.base_dist
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.empty(shape, dtype=base.loc.dtype, device=base.loc.device).normal_()
        return torch.addcmul(base.loc, noise, base.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        from pyro_dcign.model.kernels.densities import normal_log_prob  # noqa: PLC0415

        if value.shape != self.base_dist.loc.shape:
            found: Tensor = super().log_prob(value)
            return found
        return normal_log_prob(value, self.base_dist.loc, self.base_dist.scale)


class _Standard(_Normal, Standard):  # type: ignore[misc, override]
    pass


class _Bernoulli(dist.Independent):  # type: ignore[misc]
    def log_prob(self, value: Tensor) -> Tensor:
        from pyro_dcign.model.kernels.densities import bernoulli_log_prob  # noqa: PLC0415

        if value.shape != self.base_dist.logits.shape:
            found: Tensor = super().log_prob(value)
            return found
        return bernoulli_log_prob(self.base_dist.logits, value)


class Fused(Messenger):
    """The same distributions and values, in a few operations instead of dozens.

    The sites of a :class:`~pyro_dcign.model.diagonal.Diagonal` are drawn at once. On a GPU, a
    Normal over an image's latents and a Bernoulli over its pixels, given by logits, get a fused log
    density. Every other site passes. It stands outside the clamp:
    ``Fused()(Clamp(code, active)(guide))``.
    """

    def _pyro_sample(self, msg: Any) -> None:
        fn = msg["fn"]
        if isinstance(fn, Share):
            share = _Share(fn.whole, fn.name, fn.base_dist.loc, fn.base_dist.scale)
            share.drawn = fn.whole.once(self, Drawn)
            msg["fn"] = share
            return
        if type(fn) not in (dist.Independent, Standard) or len(fn.batch_shape) != 1:
            return
        base, event = fn.base_dist, fn.reinterpreted_batch_ndims
        if type(base) is dist.Normal and event == 1 and usable(base.loc):
            kind = _Standard if isinstance(fn, Standard) else _Normal
            msg["fn"] = kind(base, event, validate_args=False)
        elif type(base) is dist.Bernoulli and "logits" in vars(base) and usable(base.logits):
            msg["fn"] = _Bernoulli(base, event, validate_args=False)


def drawn_divergence(
    pairs: Iterable[tuple[Any, Any]],
) -> Float[Tensor, " images"] | None:
    """log q - log p summed over pairs of sites of model and guide, if one draw knows it.

    It does where the guide's sites are all the shares of one draw and the model's are standard
    normal; None elsewhere.
    """
    whole: Drawn | None = None
    found = 0
    for prior, site in pairs:
        fn = site["fn"]
        if not isinstance(fn, _Share) or not isinstance(prior["fn"], Standard):
            return None
        if whole not in (None, fn.drawn) or site["value"] is not fn.drawn.values[fn.name]:
            return None
        if any(s["scale"] != 1 or s["mask"] is not None for s in (prior, site)):
            return None
        whole, found = fn.drawn, found + 1
    return whole.divergence if whole is not None and found == len(whole.values) else None
