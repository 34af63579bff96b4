"""Feeding: scheduled minibatches as tensors on the device, a block of steps at a time."""

from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.datasets import Store
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images, intensities
from pyro_dcign.training.schedule import Schedule


def cuts_of(store: Store, minibatch_size: int) -> int:
    """Into how many minibatches of that size each of the data's is cut; 0 leaves them whole.

    Raises:
        InputError: A size that does not divide the data's, or of one image.
    """
    whole = store.size
    if minibatch_size and (minibatch_size == 1 or whole % minibatch_size):
        sizes = ", ".join(str(n) for n in range(2, whole + 1) if whole % n == 0)
        raise InputError(
            f"minibatch_size is to divide the {whole} images of a minibatch of {store.folder}, "
            f"got {minibatch_size}; use one of {sizes}"
        )
    return whole // (minibatch_size or whole)


class Draws(NamedTuple):
    """Which minibatches a block of steps takes.

    Attributes:
        rows: Number of each minibatch: part ``rows % cuts`` of the feed's ``rows // cuts``-th.
        active: Which factors vary in each.
    """

    rows: Int64[Tensor, "steps minibatches"]
    active: Bool[Tensor, "steps minibatches factors"]


class Feed:
    """A split's minibatches in the device's memory, in the schedule's order.

    Images stay in 8 bits until a step reads them, so a step moves indices, never pixels.

    Args:
        store: Typed minibatches.
        schedule: Draws the types and the minibatches.
        code: Sets of its factors are the types.
        device: Where the pixels go.
        cuts: Minibatches made of each of the store's; the schedule counts these.
    """

    cuts = 1
    labels: Float[Tensor, "rows images extrinsic"] | None = None
    """Where the extrinsic latents of each image are to lie, if that is to be taught."""

    def __init__(
        self,
        store: Store,
        schedule: Schedule,
        code: GraphicsCode,
        device: torch.device,
        *,
        cuts: int = 1,
    ) -> None:
        self.schedule, self.code, self.cuts = schedule, code, cuts
        self.pixels: UInt8[Tensor, "rows images height width"] = store.pixels("train", device)
        self.counts = store.counts("train")
        first = accumulate(self.counts.values(), initial=0)
        self.first = dict(zip(self.counts, first, strict=False))

    def rows(self, varying: str) -> UInt8[Tensor, "minibatches images height width"]:
        """Every minibatch of one type, uncut."""
        return self.pixels[self.first[varying] :][: self.counts[varying]]

    def chosen(
        self, rows: Int64[Tensor, " minibatches"]
    ) -> UInt8[Tensor, "minibatches images height width"]:
        """These minibatches. A part is every so-many-th image: sorted ones spread over them all."""
        return self._parts(self.pixels, rows)

    def _parts(self, of: Tensor, rows: Int64[Tensor, " minibatches"]) -> Tensor:
        if self.cuts == 1:
            return of.index_select(0, rows)
        parts: Tensor = of.unflatten(1, (-1, self.cuts)).transpose(1, 2)
        return parts[rows // self.cuts, rows % self.cuts]

    def wanted(
        self, rows: Int64[Tensor, " minibatches"]
    ) -> Float[Tensor, "images extrinsic"] | None:
        """The :attr:`labels` of :meth:`images`, or None where there are none."""
        if self.labels is None:
            return None
        return self._parts(self.labels, rows).flatten(0, 1)

    def images(self, rows: Int64[Tensor, " minibatches"]) -> Images:
        """The images of these minibatches, one minibatch after another."""
        return intensities(self.chosen(rows).flatten(0, 1))

    def draw(self, steps: int, minibatches: int) -> Draws:
        """The schedule's next minibatches, for that many steps."""
        drawn = self.schedule.draw(steps * minibatches)
        rows = torch.tensor([self.cuts * self.first[varying] + index for varying, index in drawn])
        number = {varying: i for i, varying in enumerate(self.counts)}
        masks = torch.stack([self.code.active(varying) for varying in self.counts])
        active = masks[torch.tensor([number[varying] for varying, _ in drawn])]
        shape = (steps, minibatches)
        device = self.pixels.device
        return Draws(rows.view(shape).to(device), active.view(*shape, -1).to(device))
