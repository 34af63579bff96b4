"""Labels: extrinsic latents tied to known values of their factors, where there are some."""

from typing import Any

import pyro
import torch
from jaxtyping import Float
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.model.sites import loc_scale

Wanted = Float[Tensor, "images extrinsic"]
"""Where the extrinsic latents of each image are to lie; NaN where nobody knows."""


class Labels(Messenger):
    """A handler that charges the guide for extrinsic latents away from where they are to lie.

    The charge is ``weight`` times the squared distance of a site's location from its target: the
    log density of a normal around the target, of standard deviation ``(2 weight) ** -0.5``, as in a
    semi-supervised autoencoder (Kingma et al. 2014, arXiv 1406.5298). It enters as a
    ``pyro.factor``, one for each site, and lowers the bound; a target that is not known is free.

    The paper needs types of minibatches and no values. Where grounds and lamps vary, types alone do
    not say which latent is the azimuth soon enough: see docs/exchange.md.

    Around the clamp or the exchange, whose images of one minibatch share the values of the factors
    that are held: ``Labels(code, wanted, weight)(Exchange(code, active)(guide))``.

    Args:
        code: The graphics code.
        wanted: Targets of the extrinsic latents, in the order of the code.
        weight: In nats for each squared unit of a latent.

    Raises:
        InputError: A site whose distribution has no location.
    """

    def __init__(self, code: GraphicsCode, wanted: Wanted, weight: float) -> None:
        super().__init__()
        self.code, self.wanted, self.weight = code, wanted, weight

    def _pyro_sample(self, msg: Any) -> None:
        site = msg["name"]
        if site not in self.code.extrinsic or msg["is_observed"]:
            return
        found = loc_scale(msg["fn"])
        if found is None:
            raise InputError(
                f"labels need a guide whose sites have a location, {site!r} is "
                f"{type(msg['fn']).__name__}; use --labels 0, or another --guide"
            )
        where = self.code.slices()[site]
        wanted = self.wanted[:, where]
        off = torch.where(wanted.isfinite(), found[0].loc - wanted.nan_to_num(), 0.0)
        nats = self.weight * off.square().sum(-1)
        pyro.factor(f"{site} label", nats, has_rsample=True)
