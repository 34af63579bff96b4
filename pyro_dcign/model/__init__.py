"""The Pyro program: networks, generative model, guides' base, clamp and exchange."""
