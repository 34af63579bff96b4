"""A scene that costs nothing: every factor and the identity can be read off its pixels."""

import torch

from pyro_dcign.code import FactorRange


class FakeScene:
    """A ramp whose corner pixels spell the factors; the identity sets its brightness."""

    name = "fake"

    def __init__(self, broken_at: int | None = None):
        self.factors = {
            "azimuth": FactorRange(-80.0, 80.0),
            "elevation": FactorRange(-30.0, 30.0),
            "light": FactorRange(-80.0, 80.0),
        }
        self.broken_at = broken_at
        self.calls = 0

    def render(self, identity, factors, *, side):
        self.calls += 1
        if self.broken_at is not None and self.calls > self.broken_at:
            raise RuntimeError("the fake scene broke, as it was told to")
        n = len(identity)
        ramp = torch.arange(side * side).reshape(side, side) % 97
        pixels = (ramp + (identity % 89).reshape(n, 1, 1)).to(torch.uint8)
        for column, values in enumerate(factors.values()):
            pixels[:, 0, column] = (values + 100).round().to(torch.uint8)
        return pixels


def load(broken_at=None):
    return FakeScene(broken_at)
