"""The object that a user holds; ``import pyro_dcign`` hands its names out when they are used."""

from pyro_dcign.network.callbacks import CSV, Callback, TensorBoard, WandB
from pyro_dcign.network.codes import Code
from pyro_dcign.network.network import DCIGN, inside, load
from pyro_dcign.network.pictures import Pictures, Sweep, writable
from pyro_dcign.network.results import Check, Evaluation
from pyro_dcign.network.typed_images import TypedImages

__all__ = [
    "CSV", "DCIGN", "Callback", "Check", "Code", "Evaluation", "Pictures", "Sweep", "TensorBoard",
    "TypedImages", "WandB", "inside", "load", "writable",
]  # fmt: skip
