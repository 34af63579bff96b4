"""Feeding: scheduled minibatches as tensors on the device, a block of steps at a time."""

from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.datasets.schedule import Schedule
from pyro_dcign.datasets.store import Store
from pyro_dcign.minibatch import Images, intensities


class Draws(NamedTuple):
    """Which minibatches a block of steps takes.

    Attributes:
        rows: Row of each minibatch in the feed's pixels.
        active: Which factor varies in each.
    """

    rows: Int64[Tensor, "steps minibatches"]
    active: Bool[Tensor, "steps minibatches factors"]


class Feed:
    """A split's minibatches in the device's memory, in the schedule's order.

    Images stay in 8 bits until a step reads them, so a step moves indices, never pixels.

    Args:
        store: Typed minibatches.
        schedule: Draws the types and the minibatches.
        code: Its factors are the types.
        device: Where the pixels go.
    """

    def __init__(
        self, store: Store, schedule: Schedule, code: GraphicsCode, device: torch.device
    ) -> None:
        self.schedule, self.code = schedule, code
        blocks = store.load("train")
        self.pixels: UInt8[Tensor, "rows images height width"] = torch.cat(
            [blocks[varying].pixels for varying in code.factors]
        ).to(device)
        counts = [len(blocks[varying].pixels) for varying in code.factors]
        self.counts = dict(zip(code.factors, counts, strict=True))
        self.first = dict(zip(code.factors, accumulate(counts, initial=0), strict=False))

    def rows(self, varying: str) -> UInt8[Tensor, "minibatches images height width"]:
        """Every minibatch of one type."""
        return self.pixels[self.first[varying] :][: self.counts[varying]]

    def images(self, rows: Int64[Tensor, " minibatches"]) -> Images:
        """The images of these minibatches, one minibatch after another."""
        return intensities(self.pixels.index_select(0, rows).flatten(0, 1))

    def draw(self, steps: int, minibatches: int) -> Draws:
        """The schedule's next minibatches, for that many steps."""
        drawn = self.schedule.draw(steps * minibatches)
        rows = torch.tensor([self.first[varying] + index for varying, index in drawn])
        types = torch.tensor([self.code.index(varying) for varying, _ in drawn])
        active = torch.nn.functional.one_hot(types, len(self.code.factors)).bool()
        shape = (steps, minibatches)
        device = self.pixels.device
        return Draws(rows.view(shape).to(device), active.view(*shape, -1).to(device))
