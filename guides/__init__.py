"""Guides to swap: a file a guide, each sampling the same sites.

A guide is a :class:`pyro_dcign.model.Guide`, built from an encoder and a graphics code, whose call
samples one site for each factor inside ``plate("images")``; ``mean_field.py`` is the
paper's and the pattern to follow. Name a new one in :data:`GUIDES`.
"""

GUIDES = {
    "mean_field": "pyro_dcign.guides.mean_field:MeanField",
    "low_rank": "pyro_dcign.guides.low_rank:LowRank",
    "full_rank": "pyro_dcign.guides.full_rank:FullRank",
    "flow": "pyro_dcign.guides.flow:Flow",
    "semi_amortised": "pyro_dcign.guides.semi_amortised:SemiAmortised",
    "laplace": "pyro_dcign.guides.laplace:Laplace",
    "auto": "pyro_dcign.guides.auto:Auto",
    "auto_low_rank": "pyro_dcign.guides.auto:AutoLowRank",
    "auto_full_rank": "pyro_dcign.guides.auto:AutoFullRank",
    "product_of_experts": "pyro_dcign.guides.product_of_experts:ProductOfExperts",
    "adaptive": "pyro_dcign.guides.adaptive:Adaptive",
}
"""Where each shipped guide is defined."""
