"""Evidence lower bounds: Pyro's estimators with their terms kept apart."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_dcign.errors import InputError
from pyro_dcign.images import Images
from pyro_dcign.model.fused import drawn_divergence


class Losses(NamedTuple):
    """Terms of the negative ELBO of each image, in nats.

    The loss of a step is the sum over images of ``reconstruction + kl_weight * kl``.

    Attributes:
        reconstruction: -log p(x | z).
        kl: log q(z | x) - log p(z) of the draw, or the analytic divergence, and the log factors of
            the guide, if a handler adds some (:class:`~pyro_dcign.model.exchange.Exchange`).
    """

    reconstruction: Float[Tensor, " images"]
    kl: Float[Tensor, " images"]


def _latent_sites(model_trace: Any) -> Iterator[tuple[str, Any]]:
    for name, site in model_trace.nodes.items():
        if site["type"] == "sample" and not site["is_observed"]:
            yield name, site


def _log_prob(site: Any) -> Any:
    found = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(found, site["scale"], site["mask"])


def _sampled_divergence(model_trace: Any, guide_trace: Any) -> Any:
    pairs = [(site, guide_trace.nodes[name]) for name, site in _latent_sites(model_trace)]
    found = drawn_divergence(pairs)
    if found is not None:
        return found
    p, q = (torch.stack([_log_prob(pair[k]) for pair in pairs]).sum(0) for k in range(2))
    return q - p


def _factors(guide_trace: Any) -> Any:
    """Sum of the guide's ``pyro.factor`` sites."""
    sites = guide_trace.nodes.values()
    return sum(_log_prob(s) for s in sites if s["type"] == "sample" and s["is_observed"])


class _OnDevice:
    """Pyro's estimator with its terms kept apart and no reading of values by the host.

    Pyro's own ``loss_and_grads`` calls ``item()`` several times a step, which makes the device
    wait and cannot be captured. Every site is reparametrised here, so the surrogate is the loss.
    """

    kl_weight = 1.0
    """What the KL and log factors count in the loss; above 1 it bounds the ELBO still."""

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        # Pyro's would score and sum every site of both; a step needs less.
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        replayed = poutine.replay(model, trace=guide_trace)
        model_trace = poutine.trace(replayed).get_trace(*args, **kwargs)
        return prune_subsample_sites(model_trace), prune_subsample_sites(guide_trace)

    def loss_and_grads(self, model: Any, guide: Any, *args: Any) -> Losses:
        """Losses of one step; gradients are added to the parameters'."""
        assert isinstance(self, Trace_ELBO)
        parts = [
            (
                -_log_prob(model_trace.nodes["image"]),
                self.divergence(model_trace, guide_trace) + _factors(guide_trace),
            )
            for model_trace, guide_trace in self._get_traces(model, guide, args, {})
        ]
        reconstruction, kl = (
            torch.stack(term).mean(0) if len(term) > 1 else term[0]
            for term in zip(*parts, strict=True)
        )
        each = torch.ones_like(kl)
        weight = each if self.kl_weight == 1 else self.kl_weight * each
        terms = [(reconstruction, each), (kl, weight)]
        # The KL of a guide that learns nothing (auto) has no gradient.
        learned = [(term, counts) for term, counts in terms if term.requires_grad]
        # Each product in the precision of its forward: autocast would round those of the heads.
        with torch.autocast(kl.device.type, enabled=False):
            torch.autograd.backward(*zip(*learned, strict=True))
        return Losses(reconstruction.detach(), kl.detach())

    def divergence(self, model_trace: Any, guide_trace: Any) -> Any:
        """Monte Carlo estimate of KL(q | p) from the draws."""
        return _sampled_divergence(model_trace, guide_trace)


class TypedTraceELBO(_OnDevice, Trace_ELBO):
    """``Trace_ELBO`` for guides whose every site is reparametrised (the paper's)."""


class TypedTraceMeanFieldELBO(_OnDevice, TraceMeanField_ELBO):
    """``TraceMeanField_ELBO`` for guides whose every site is reparametrised.

    A site whose divergence has no closed form (a flow) is estimated from its draw, as Pyro does.
    """

    def divergence(self, model_trace: Any, guide_trace: Any) -> Any:
        """Analytic KL(q | p) of each site."""
        total: Any = 0.0
        for name, site in _latent_sites(model_trace):
            try:
                term = kl_divergence(guide_trace.nodes[name]["fn"], site["fn"])
            except NotImplementedError:
                term = _log_prob(guide_trace.nodes[name]) - _log_prob(site)
            total = total + term
        return total


ELBOS: dict[str, type[Any]] = {
    "Trace_ELBO": TypedTraceELBO,
    "TraceMeanField_ELBO": TypedTraceMeanFieldELBO,
}


def load_elbo(name: str, *, num_particles: int = 1, kl_weight: float = 1.0) -> Any:
    """The ELBO estimator of that (Pyro) name, whose loss counts the KL so many times.

    Raises:
        InputError: An unknown name.
    """
    if name not in ELBOS:
        raise InputError(f"elbo is one of {', '.join(ELBOS)}, got {name!r}; choose one")
    estimator = ELBOS[name](num_particles=num_particles)
    estimator.kl_weight = kl_weight
    return estimator


@torch.no_grad()
def unclamped_losses(model: Any, guide: Any, images: Images) -> Losses:
    """Terms of the negative ELBO of one draw of the guide as it is; trains nothing."""
    guide_trace = poutine.trace(guide).get_trace(images)
    replayed = poutine.replay(model, trace=guide_trace)
    model_trace: Any = poutine.trace(replayed).get_trace(images)
    guide_trace, model_trace = map(prune_subsample_sites, (guide_trace, model_trace))
    reconstruction = -_log_prob(model_trace.nodes["image"])
    return Losses(reconstruction, _sampled_divergence(model_trace, guide_trace))
