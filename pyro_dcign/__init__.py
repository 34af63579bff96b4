"""The Deep Convolutional Inverse Graphics Network as a probabilistic program in Pyro.

T. D. Kulkarni, W. F. Whitney, P. Kohli, J. B. Tenenbaum, "Deep Convolutional Inverse Graphics
Network", 2015 (arXiv 1503.03167), called *the paper* throughout.
"""

__version__ = "0.1.0"
