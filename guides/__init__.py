"""Guides to swap: a file a guide, each sampling the same sites.

A guide is an ``nn.Module`` that is built from an encoder and a graphics code, and whose call
samples one site for each factor inside ``plate("images")``; ``mean_field.py`` is the
paper's and the pattern to follow. Name a new one in :data:`GUIDES`.
"""

GUIDES = {
    "mean_field": "pyro_dcign.guides.mean_field:MeanField",
}
"""Where each shipped guide is defined."""
