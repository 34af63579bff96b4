"""The Deep Convolutional Inverse Graphics Network as a probabilistic program in Pyro.

T. D. Kulkarni, W. F. Whitney, P. Kohli, J. B. Tenenbaum, "Deep Convolutional Inverse Graphics
Network", 2015 (arXiv 1503.03167), called *the paper* throughout.

Example:
    >>> import pyro_dcign as dcign  # torch loads when the first network does
    >>> net = dcign.load("faces", device="cpu")
    >>> net.edit(net.sample(1, prior="model"), azimuth=30)
    Pictures(1 of 64 × 64)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyro_dcign.errors import InputError

if TYPE_CHECKING:
    from pyro_dcign.network import (
        CSV,
        DCIGN,
        Check,
        Code,
        Evaluation,
        Pictures,
        Sweep,
        TensorBoard,
        TypedImages,
        WandB,
        load,
    )

__version__ = "0.1.0"

__all__ = [
    "CSV", "DCIGN", "Check", "Code", "Evaluation", "InputError", "Pictures", "Sweep", "TensorBoard",
    "TypedImages", "WandB", "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"{__name__} has no {name}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.network"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
