"""What a scene is: a renderer of identities under extrinsic factors, found by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels


@runtime_checkable
class Scene(Protocol):
    """A renderer of identities under extrinsic factors.

    An identity is an integer: the same number is the same head or chair on every machine, so a
    data set needs to store numbers only.
    """

    name: str
    factors: Mapping[str, FactorRange]

    def render(
        self,
        identity: Int64[Tensor, " images"],
        factors: Mapping[str, Float[Tensor, " images"]],
        *,
        side: int,
    ) -> Pixels:
        """Grey 8-bit images of ``side`` x ``side`` pixels; angles in degrees."""
        ...


SCENES = {
    "faces": ("heads", "Heads"),
    "people": ("people", "People"),
    "chairs": ("chairs", "Chairs"),
    "bfm": ("basel", "basel"),
    "ict": ("ict", "ict"),
}
"""Known scenes: the module behind each name, and what makes it."""


def load_scene(name: str, **options: Any) -> Scene:
    """The scene of that name; options go to its class (see :class:`~.heads.Heads`).

    Raises:
        InputError: No scene has that name.
    """
    if name not in SCENES:
        raise InputError(f"a scene is one of {', '.join(SCENES)}, got {name!r}; name one of them")
    module, scene = SCENES[name]
    # Imported here: a basis and a renderer load only when used.
    loaded = import_module(f"pyro_dcign.scenes.{module}")
    return cast(Scene, getattr(loaded, scene)(**options))
