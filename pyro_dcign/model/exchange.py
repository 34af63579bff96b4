"""The exchange: inactive latents taken from another image of the minibatch, gradients kept."""

from typing import Any

import pyro
import torch
from jaxtyping import Bool, Float, Int64
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_dcign.code import GraphicsCode
from pyro_dcign.model.diagonal import Diagonal, Share
from pyro_dcign.model.sites import Active, Around, active_at, loc_scale


def donors(
    groups: int, images: int, device: torch.device | str = "cpu"
) -> Int64[Tensor, "groups images"]:
    """For each image another image of its minibatch: a random cycle through all of them.

    A cycle and not any permutation, so that no image is ever its own donor. Drawn on the device
    without a word to the host, so a captured step draws a new one at every replay.

    Raises:
        ValueError: One image, which has no other.
    """
    if images < 2:
        raise ValueError(f"donors() needs 2 or more images, got {images}; use larger minibatches")
    order = torch.rand(groups, images, device=device).argsort(-1)
    return torch.empty_like(order).scatter_(-1, order, order.roll(1, -1))


def exchange(
    z: Float[Tensor, "groups images latents"],
    active: Bool[Tensor, "..."],
    donor: Int64[Tensor, "groups images"],
) -> Float[Tensor, "groups images latents"]:
    """Active latents of the image itself, inactive ones of its donor.

    Args:
        z: Latents, or any parameter that a guide gives them, of several minibatches.
        active: Latents that stay; broadcasts against ``z``.
        donor: From :func:`donors`.

    Example:
        >>> z = torch.tensor([[[1.0, 10.0], [3.0, 30.0]]])
        >>> exchange(z, torch.tensor([True, False]), torch.tensor([[1, 0]])).tolist()
        [[[1.0, 30.0], [3.0, 10.0]]]
    """
    given = z.gather(1, donor.unsqueeze(-1).expand_as(z))
    return torch.where(active, z, given)


class _Donated(Around):
    """A site's distribution whose images have been given the draws of others."""

    def __init__(self, fn: Any, origin: Int64[Tensor, " images"]) -> None:
        super().__init__(fn)
        self.origin = origin
        own = torch.arange(len(origin), device=origin.device)
        self.back = torch.empty_like(origin).scatter_(0, origin, own)

    def _rows(self, z: Tensor, rows: Tensor, right: int) -> Tensor:
        return z.index_select(z.dim() - right - 1, rows)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Each image's draw is that of its origin."""
        return self._rows(self.fn.rsample(sample_shape), self.origin, self.event_dim)

    def log_prob(self, value: Tensor) -> Tensor:
        """The density of a draw under the distribution of its origin."""
        found = self.fn.log_prob(self._rows(value, self.back, self.event_dim))
        return self._rows(found, self.origin, 0)


class Exchange(Messenger):
    """A handler that decodes each image from its own active latents and another's inactive ones.

    In a minibatch where only a set f of factors varies, every image shows the same values of the
    others, so for any permutation π q(z | group) = q(z_f | x_i) q(z_rest | x_π(i)) is a guide for
    image i that looks at the whole group, and the loss with it is an evidence lower bound, which
    the mean pull's gradient is not. It trains the edit that a user makes: one image's intrinsic
    code under another's pose.

    Around a guide only, as :class:`~pyro_dcign.model.clamp.Clamp`:
    ``Exchange(code, active)(guide)``.

    With ``agreement`` the bound is lowered by that many times KL(q(z_rest | x_i) | q(z_rest |
    x_π(i))), nats by which two images of a minibatch disagree on what they share: zero only where
    the rest does not know f. It enters as a ``pyro.factor`` of the guide, one for each site; where
    the divergence has no closed form (a flow), it is estimated from a draw.

    A site without location and scale (a flow) has its draws exchanged in place of its parameters,
    which is the same in distribution.

    Laws (tests/test_exchange.py): nothing happens when every factor is active; the distributions
    of a site are permuted, never changed; commutes with ``replay``; the KL of a minibatch is the
    guide's own; the agreement is zero where all images agree, and positive elsewhere.

    Args:
        code: The graphics code whose sites are exchanged; other sites pass.
        active: Which factors vary, as for :class:`~pyro_dcign.model.clamp.Clamp`.
        agreement: Weight of the disagreement; 0 leaves it out.
    """

    def __init__(self, code: GraphicsCode, active: Active, *, agreement: float = 0.0) -> None:
        super().__init__()
        self.code, self.active, self.agreement = code, active, agreement
        self.donor: Tensor | None = None

    def __enter__(self) -> Any:
        self.donor = None
        return super().__enter__()

    def _donor(self, groups: int, images: int) -> Int64[Tensor, "groups images"]:
        if self.donor is None:  # one donor for all sites of a run of the guide
            self.donor = donors(groups, images // groups, self.active.device)
        return self.donor

    def _exchange(self, mask: Bool[Tensor, "groups _"], z: Tensor) -> Tensor:
        groups = z.unflatten(0, (len(mask), -1))
        donor = self._donor(len(mask), len(z))
        return exchange(groups, mask.unsqueeze(1), donor).flatten(0, 1)

    def _origin(self, mask: Bool[Tensor, "groups 1"], images: int) -> Int64[Tensor, " images"]:
        """The row from which each image has a site's draw."""
        donor = self._donor(len(mask), images)
        own = torch.arange(images, device=donor.device).view_as(donor)
        return torch.where(mask, own, own[:, :1] + donor).flatten()

    def _exchanged(self, whole: Diagonal) -> Diagonal:
        mask = self.code.active_latents(self.active)
        return Diagonal(self.code, *(self._exchange(mask, z) for z in (whole.loc, whole.scale)))

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] not in self.code.factors or msg["is_observed"]:
            return
        own = msg["fn"]
        msg["fn"] = self._given(msg)
        if self.agreement:
            self._disagree(msg["name"], own, msg["fn"])

    def _given(self, msg: Any) -> Any:
        """The site's distribution with the donors' parameters."""
        if isinstance(msg["fn"], Share):
            return msg["fn"].whole.once(self, self._exchanged).share(msg["name"])
        mask = active_at(self.code, self.active, msg["name"])
        found = loc_scale(msg["fn"])
        if found is None:
            return _Donated(msg["fn"], self._origin(mask, msg["fn"].batch_shape[-1]))
        fn, event = found
        arguments = {name: getattr(fn, name) for name in fn.arg_constraints}
        arguments |= {n: self._exchange(mask, arguments[n]) for n in ("loc", "scale")}
        return type(fn)(**arguments, validate_args=False).to_event(event)

    def _disagree(self, site: str, own: Any, given: Any) -> None:
        """Lower the bound; an active site is its own donor, so its divergence is zero."""
        try:
            nats: Any = kl_divergence(own, given)
        except NotImplementedError:  # a flow: estimated from a draw of the image's own
            z = own.rsample()
            nats = own.log_prob(z) - given.log_prob(z)
        pyro.factor(f"{site} agreement", self.agreement * nats, has_rsample=True)
