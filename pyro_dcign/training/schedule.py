"""The order of training: first the type of a minibatch, then one minibatch of that type."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from pyro_dcign.code import INTRINSIC, GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.varying import POSE, numbers_by_type

PAPER_INTRINSIC = 10.0
"""Share of intrinsic minibatches where each extrinsic type has 1 (paper, section 3.2)."""


@final
class Schedule:
    """An endless seeded draw of minibatches: a type by ratio, then one of it uniformly.

    Args:
        counts: Minibatches of each type.
        ratio: Share of each type, 0 of those that it does not name; by default the paper's, 1 each
            and 10 for "intrinsic".
        seed: Of the one generator; the same seed gives the same order.

    Raises:
        InputError: A share that is negative, none that is positive, or a positive one for a type
            without minibatches.

    Example:
        >>> schedule = Schedule({"azimuth": 5, "intrinsic": 3}, seed=0)
        >>> varying, index = schedule.next()
        >>> varying in ("azimuth", "intrinsic") and 0 <= index < 5
        True
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        ratio: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.counts = dict(counts)
        self.ratio = dict(paper_ratio(tuple(counts)) if ratio is None else ratio)
        for varying, share in self.ratio.items():
            if not 0 <= share < float("inf"):
                raise InputError(
                    f"expected a share of 0 or more for {varying}, found {share}; mend the ratio"
                )
            if share > 0 and self.counts.get(varying, 0) < 1:
                there = ", ".join(name for name, count in self.counts.items() if count)
                raise InputError(
                    f"expected minibatches of type {varying}, found none in the data, which hold "
                    f"{there}; leave it out of the ratio, or make or import data that hold some: "
                    f"pyro-dcign data make faces OUT --types {varying}=250"
                )
        total = sum(self.ratio.values())
        if total <= 0:
            raise InputError("expected a positive share for some type, found none; mend the ratio")
        self._types = tuple(v for v, share in self.ratio.items() if share > 0)
        self._edges = np.cumsum([self.ratio[v] / total for v in self._types])
        self._sizes = np.array([self.counts[v] for v in self._types])
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def next(self) -> tuple[str, int]:
        """Type and number of the next minibatch."""
        return self.draw(1)[0]

    def draw(self, n: int) -> list[tuple[str, int]]:
        """The next ``n`` minibatches: the same as ``n`` calls of :meth:`next`."""
        uniform = self._generator.random((n, 2))
        # The last edge is 1 up to rounding, and a draw is below 1: clip for the rounding's sake.
        types = np.minimum(
            np.searchsorted(self._edges, uniform[:, 0], "right"), len(self._types) - 1
        )
        index = (uniform[:, 1] * self._sizes[types]).astype(np.int64)
        index = np.minimum(index, self._sizes[types] - 1)
        return [(self._types[t], int(i)) for t, i in zip(types, index, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next draws depend on, as JSON can hold it."""
        return {
            "counts": dict(self.counts),
            "ratio": dict(self.ratio),
            "generator": self._generator.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where :meth:`state_dict` was taken.

        Raises:
            InputError: A state of other counts or another ratio, or a malformed one.
        """
        for name, mine in (("counts", self.counts), ("ratio", self.ratio)):
            if state.get(name) != mine:
                raise InputError(
                    f"expected a schedule with the {name} {mine}, found {state.get(name)}; "
                    f"resume with the data and the ratio that the run began with"
                )
        try:
            self._generator.bit_generator.state = state["generator"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"expected the state of a PCG64 generator, found {error!r}; use another checkpoint"
            ) from None


def paper_ratio(types: tuple[str, ...]) -> dict[str, float]:
    """The paper's shares for any number of extrinsic factors: 1 each, and 10 for "intrinsic"."""
    return {varying: PAPER_INTRINSIC if varying == INTRINSIC else 1.0 for varying in types}


def parse_ratio(text: str, code: GraphicsCode) -> dict[str, float]:
    """Shares of the minibatch types from text.

    ``"1:1:1:10"`` has one share for each factor of the code, "intrinsic" last; of two shares the
    first goes to every extrinsic factor. Types of several factors are named:
    ``"azimuth=1,elevation=1,light=1,pose=5,intrinsic=1"``, or ``"each=1,pose=5,intrinsic=1"`` for
    any extrinsic factors; a type that is not named has no share.

    Raises:
        InputError: Another number of shares, a name of no type, or a share that is no number of 0
            or more.

    Example:
        >>> parse_ratio("1:3", GraphicsCode({"azimuth": 1, "light": 1}, intrinsic=8))
        {'azimuth': 1.0, 'light': 1.0, 'intrinsic': 3.0}
        >>> parse_ratio("pose=5,light=1", GraphicsCode({"azimuth": 1, "light": 1}, intrinsic=8))
        {'light': 1.0, 'pose': 5.0}
    """
    if "=" in text:
        named = numbers_by_type(text, code.extrinsic)
        if not any(named.values()):
            raise InputError(f"expected a positive share in the ratio, found {text!r}; raise one")
        return named
    factors = code.factors
    wanted = f"expected a ratio such as {':'.join(['1'] * (len(factors) - 1) + ['10'])} for "
    wanted += f"{', '.join(factors)}, or 1:10 for each extrinsic factor and {INTRINSIC}, "
    wanted += f"or each=1,{POSE}=5,{INTRINSIC}=1"
    try:
        shares = [float(part) for part in text.split(":")]
    except ValueError:
        raise InputError(f"{wanted}, found {text!r}; write numbers between colons") from None
    if len(shares) == 2:
        shares = [shares[0]] * (len(factors) - 1) + [shares[1]]
    if len(shares) != len(factors):
        raise InputError(f"{wanted}, found {text!r}; give one share for each")
    if not all(0 <= share < float("inf") for share in shares) or not any(shares):
        raise InputError(f"{wanted}, found {text!r}; shares are 0 or more, not all 0")
    return dict(zip(factors, shares, strict=True))
