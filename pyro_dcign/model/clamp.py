"""The clamp: inactive latents held at their minibatch mean, their gradients the mean pull."""

from typing import Any, Literal

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.machine import usable
from pyro_dcign.model.diagonal import Diagonal, Share
from pyro_dcign.model.sites import Active, Around, active_at, loc_scale

Target = Literal["mean", "first"]
"""Held at the minibatch mean (paper) or at the first image's value (released code)."""


class _MeanPull(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, active: Tensor, strength: float, to: Target) -> Tensor:
        mean = z.mean(-2, keepdim=True)
        ctx.save_for_backward(z, mean, active)
        ctx.strength = strength
        # The released Lua copies row 1 (SelectiveOutputClamp.lua); the paper takes the mean.
        held = mean if to == "mean" else z[..., :1, :]
        return torch.where(active, z, held)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        z, mean, active = ctx.saved_tensors
        pull = ctx.strength * (z - mean)
        return torch.where(active, gradients[0], pull), None, None, None


def clamp(
    z: Float[Tensor, "*groups images latents"],
    active: Bool[Tensor, "..."],
    *,
    strength: float = 0.01,
    to: Target = "mean",
) -> Float[Tensor, "*groups images latents"]:
    """Hold inactive latents at their minibatch mean.

    The gradient of an inactive latent is *replaced* by the mean pull
    ``strength * (z - z.mean(-2))``, whatever reaches it from the loss; an active latent keeps its
    own (paper, section 3.2).

    Args:
        z: Latents, or any parameter that a guide gives them; one minibatch along the last axis
            but one.
        active: Latents that pass; broadcasts against ``z``.
        strength: Factor of the mean pull; the paper's is 1/100.
        to: Hold at the ``"mean"`` (paper) or the ``"first"`` image's value (released code).

    Raises:
        ValueError: Fewer than two images, which have no mean to agree on.

    Example:
        >>> z = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> clamp(z, torch.tensor([True, False])).tolist()
        [[1.0, 20.0], [3.0, 20.0]]
    """
    if z.shape[-2] < 2:
        raise ValueError(
            f"clamp() needs 2 or more images to average, got {z.shape[-2]}; use larger minibatches"
        )
    held: Tensor = _MeanPull.apply(z, active, strength, to)
    return held


def _clamp_rows(z: Tensor, mask: Bool[Tensor, "groups _"], **options: Any) -> Tensor:
    """Clamp each of several minibatches in a row."""
    groups = z.unflatten(0, (len(mask), -1))
    return clamp(groups, mask.unsqueeze(1), **options).flatten(0, 1)


def clamp_both(
    loc: Float[Tensor, "images *latents"],
    scale: Float[Tensor, "images *latents"],
    mask: Bool[Tensor, "groups _"],
    *,
    strength: float,
    to: Target,
) -> tuple[Float[Tensor, "images *latents"], Float[Tensor, "images *latents"]]:
    """Clamp the locations and scales of minibatches in a row, given which latents are active."""
    flat = loc.dim() == scale.dim() == 2 and len(loc) > len(mask)
    if not (flat and usable(loc) and usable(scale)):
        options: dict[str, Any] = {"strength": strength, "to": to}
        return _clamp_rows(loc, mask, **options), _clamp_rows(scale, mask, **options)
    from pyro_dcign.model.kernels.pull import clamp_both as fused  # noqa: PLC0415

    return fused(loc, scale, mask.expand(-1, loc.shape[1]), strength=strength, first=to == "first")


class _HeldDraw(Around):
    """A site's distribution, whose density teaches nothing where its draw is held.

    A held draw is not from the distribution, so log q of it is no part of a KL: to lower it, q
    would leave the draw behind and shrink without end.
    """

    def __init__(self, fn: Any, active: Bool[Tensor, " images"]) -> None:
        super().__init__(fn)
        self.active = active

    def log_prob(self, value: Tensor) -> Tensor:
        """The density of the distribution within, a constant where the draw is held."""
        found: Tensor = self.fn.log_prob(value)
        return torch.where(self.active, found, found.detach())


class Clamp(Messenger):
    """A handler that clamps the guide's sites of the factors that do not vary.

    It acts on the parameters (loc, scale) that the guide gives to a site, before the draw, so the
    reconstruction's and the KL's gradients are both replaced; with ``on="draw"`` it acts on the
    drawn value instead, and the site's density keeps no gradient of its own where that is held.
    Around a guide only: ``Clamp(code, active)(guide)``.

    Laws (tests/test_clamp.py): idempotent; nothing happens when every factor is active; commutes
    with ``replay``; the pull sums to zero over the minibatch.

    Args:
        code: The graphics code whose sites are clamped; other sites pass.
        active: Which factors vary, see :meth:`GraphicsCode.active`. A tensor, not control flow:
            a captured step replays with another type. With a leading axis of groups, the images
            are that many minibatches in a row, each clamped to its own mean.
        strength: Factor of the mean pull.
        to: ``"mean"`` (paper) or ``"first"`` (released code).
        on: ``"parameters"`` or ``"draw"``.
        keep_kl: Beside the pull, give an inactive latent its own KL's gradient, which the paper
            and its code replace. Only its gradient: the loss is the same.

    Raises:
        InputError: A site without loc and scale, while acting on parameters; one whose KL to the
            prior has no closed form, while keeping its gradient.
    """

    def __init__(
        self,
        code: GraphicsCode,
        active: Active,
        *,
        strength: float = 0.01,
        to: Target = "mean",
        on: Literal["parameters", "draw"] = "parameters",
        keep_kl: bool = False,
    ) -> None:
        super().__init__()
        self.code, self.active = code, active
        self.strength, self.to, self.on, self.keep_kl = strength, to, on, keep_kl

    def _held(self, whole: Diagonal) -> Diagonal:
        mask = self.code.active_latents(self.active)
        both = clamp_both(whole.loc, whole.scale, mask, strength=self.strength, to=self.to)
        return Diagonal(self.code, *both)

    def _concerns(self, msg: Any) -> bool:
        return msg["name"] in self.code.factors and not msg["is_observed"]

    def _pyro_sample(self, msg: Any) -> None:
        if not self._concerns(msg):
            return
        fn = msg["fn"]
        if self.keep_kl:
            self._keep_kl(msg["name"], fn)
        if self.on == "draw":
            # Here and not after sampling: a trace outside this handler would have copied the
            # unclamped value by then.
            value = msg["value"] if msg["done"] else fn()
            mask = active_at(self.code, self.active, msg["name"])
            held = _clamp_rows(value, mask, strength=self.strength, to=self.to)
            msg["value"], msg["done"] = held, True
            images = fn.batch_shape[-1]
            msg["fn"] = _HeldDraw(fn, mask.expand(-1, images // len(mask)).flatten())
        elif isinstance(fn, Share):
            msg["fn"] = fn.whole.once(self, self._held).share(fn.name)
        else:
            found = loc_scale(fn)
            if found is None:
                raise InputError(
                    f"site {msg['name']!r} needs a distribution with loc and scale, got "
                    f'{type(fn).__name__}; clamp on="draw" instead, or use --handler exchange'
                )
            fn, event = found
            arguments = {name: getattr(fn, name) for name in fn.arg_constraints}
            loc, scale = arguments["loc"], arguments["scale"]
            mask = active_at(self.code, self.active, msg["name"])
            both = clamp_both(loc, scale, mask, strength=self.strength, to=self.to)
            arguments |= dict(zip(("loc", "scale"), both, strict=True))
            msg["fn"] = type(fn)(**arguments, validate_args=False).to_event(event)

    def _keep_kl(self, site: str, fn: Any) -> None:
        """Add a log factor of value zero whose gradient is that of an inactive site's own KL."""
        # Tensors only, and no repeat_interleave: a captured step must not wait for the host.
        shape = (*fn.batch_shape, *fn.event_shape)
        zeros = torch.zeros(shape, device=self.active.device)
        ones = torch.ones_like(zeros)
        prior = dist.Normal(zeros, ones, validate_args=False).to_event(1)
        try:
            nats: Any = kl_divergence(fn, prior)
        except NotImplementedError:
            raise InputError(
                f"site {site!r} needs a distribution whose divergence is known, got "
                f"{type(fn).__name__}; use --kl-gradient replaced"
            ) from None
        active = active_at(self.code, self.active, site)
        own = (nats.view(len(active), -1) * ~active).view(-1)
        pyro.factor(f"{site} kl", own - own.detach(), has_rsample=True)
