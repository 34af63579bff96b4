"""Scenes: pictures from an identity and the values of its extrinsic factors.

To add one, write a class with the members of :class:`Scene` and name it in ``SCENES``.
"""

from pyro_dcign.scenes.chairs import CHAIRS, Chairs
from pyro_dcign.scenes.scene import SCENES, Scene, load_scene

__all__ = [
    "CHAIRS", "SCENES", "Chairs", "Scene", "load_scene",
]  # fmt: skip
