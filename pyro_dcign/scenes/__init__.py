"""Scenes: what can be rendered from an identity and the values of its extrinsic factors.

To add one, write a class with the members of :class:`Scene` and name it in :func:`load_scene`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor

from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels


@dataclass(frozen=True)
class FactorRange:
    """Values that an extrinsic factor takes.

    Attributes:
        low: Smallest value, in the factor's unit (degrees for angles).
        high: Largest value.
        values: The only values a grid holds, or none for a continuous factor.
        period: 360 for a full circle, else none; ``high`` is then ``low`` again.
    """

    low: float
    high: float
    values: tuple[float, ...] = ()
    period: float | None = None


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
