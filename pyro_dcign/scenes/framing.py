"""Framing: where a thing lies in the picture and how large, as changes of the camera alone.

The camera's principal point and focal length change; no picture is resampled. A shifted picture is
the same larger picture seen through a moved window, its ground included.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pyro_dcign.code import FactorRange

FRAMING: Mapping[str, FactorRange] = {
    "shift_x": FactorRange(-0.12, 0.12),
    "shift_y": FactorRange(-0.12, 0.12),
    "size": FactorRange(0.8, 1.15),
}
"""Extrinsic factors of the camera: shares of the frame to the right and up, and a magnification."""


def framing(
    factors: Mapping[str, Float[Tensor, " images"]], like: Float[Tensor, " images"]
) -> tuple[Float[Tensor, "images 2"], Float64[Tensor, " images"]]:
    """Shift (right, up) and size of each picture; neutral where a factor is absent.

    Args:
        factors: Values by name.
        like: Any factor: its number of pictures and device are taken.

    Example:
        >>> shift, size = framing({"shift_x": torch.tensor([0.1])}, torch.zeros(1))
        >>> shift.tolist(), size.tolist()
        ([[0.10000000149011612, 0.0]], [1.0])
    """
    zero, one = torch.zeros_like(like), torch.ones_like(like)
    right, up, size = (
        factors.get(name, neutral).to(like.device)
        for name, neutral in (("shift_x", zero), ("shift_y", zero), ("size", one))
    )
    return torch.stack((right, up), 1), size.double()
