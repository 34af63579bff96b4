"""Shapes are checked at run time in every test."""

from jaxtyping import install_import_hook

_hook = install_import_hook("pyro_dcign", "shapes.check")
