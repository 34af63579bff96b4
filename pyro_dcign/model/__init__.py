"""The Pyro program: networks, generative model, guides' base, clamp and exchange."""

from pyro_dcign.model.clamp import Clamp
from pyro_dcign.model.correlated import sample_correlated
from pyro_dcign.model.diagonal import sample_diagonal
from pyro_dcign.model.elbo import Losses, load_elbo, unclamped_losses
from pyro_dcign.model.exchange import Exchange
from pyro_dcign.model.fused import Fused
from pyro_dcign.model.generative import Model
from pyro_dcign.model.guide import Guide, adopt, known_guides, load_guide, supervises_itself
from pyro_dcign.model.handlers import Handler, handler_of
from pyro_dcign.model.labels import Labels, Wanted
from pyro_dcign.model.nearest import NormalFit, nearest_normal
from pyro_dcign.model.networks import Decoder, Encoder, UnpoolConv2d, linear_head
from pyro_dcign.model.prior import Prior
from pyro_dcign.model.residual import AnyEncoder, ResidualDecoder, ResidualEncoder
from pyro_dcign.model.sites import Active

__all__ = [
    "Active", "AnyEncoder", "Clamp", "Decoder", "Encoder", "Exchange", "Fused", "Guide", "Handler",
    "Labels", "Losses", "Model", "NormalFit", "Prior", "ResidualDecoder", "ResidualEncoder",
    "UnpoolConv2d", "Wanted", "adopt", "handler_of", "known_guides", "linear_head", "load_elbo",
    "load_guide", "nearest_normal", "sample_correlated", "sample_diagonal", "supervises_itself",
    "unclamped_losses",
]  # fmt: skip
