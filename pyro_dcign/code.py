"""The graphics code: which latents carry which factor of variation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pyro_dcign.varying import INTRINSIC, type_factors, type_name

__all__ = ["INTRINSIC", "FactorRange", "GraphicsCode", "Latents"]

Latents = Float[Tensor, "*batch latents"]


@dataclass(frozen=True)
class GraphicsCode:
    """Names and sizes of the factors of a graphics code, in the order of its latents.

    The paper's face code is azimuth, elevation and light (one *extrinsic* latent each), then 197
    *intrinsic* latents; its chair code is azimuth and 199 intrinsic ones (section 3.1, figure 2).
    Nothing in the package assumes how many extrinsic factors there are.

    Args:
        extrinsic: Latents of each extrinsic factor, by name and in order.
        intrinsic: Number of intrinsic latents.

    Raises:
        ValueError: A factor without latents, or an extrinsic factor called "intrinsic".

    Example:
        >>> code = GraphicsCode({"azimuth": 1, "light": 1}, intrinsic=3)
        >>> code.factors, code.latents
        (('azimuth', 'light', 'intrinsic'), 5)
        >>> code.active("light").tolist(), code.active("pose").tolist()
        ([False, True, False], [True, True, False])
    """

    extrinsic: Mapping[str, int]
    intrinsic: int
    sizes: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if INTRINSIC in self.extrinsic:
            raise ValueError(f"extrinsic factors need other names than {INTRINSIC!r}; rename it")
        sizes = {**self.extrinsic, INTRINSIC: self.intrinsic}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"factor {name!r} needs 1 or more latents, got {size}")
        object.__setattr__(self, "sizes", sizes)

    @property
    def factors(self) -> tuple[str, ...]:
        """Every factor's name: the extrinsic ones in order, then "intrinsic"."""
        return tuple(self.sizes)

    @property
    def latents(self) -> int:
        """Number of latents of the whole code."""
        return sum(self.sizes.values())

    def slices(self) -> dict[str, slice]:
        """Where each factor's latents lie in the code."""
        found, start = {}, 0
        for name, size in self.sizes.items():
            found[name] = slice(start, start + size)
            start += size
        return found

    def split(self, latents: Latents) -> dict[str, Float[Tensor, "*batch _"]]:
        """Views of the latents of each factor; the last axis is the code."""
        # One split and not slices: its gradient is one concatenation.
        parts = latents.split(list(self.sizes.values()), dim=-1)
        return dict(zip(self.sizes, parts, strict=True))

    def join(self, parts: Mapping[str, Float[Tensor, "*batch _"]]) -> Latents:
        """One code from the latents of each factor: the inverse of :meth:`split`."""
        each = [parts[name] for name in self.factors]
        whole = self._split_from(each)
        return torch.cat(each, dim=-1) if whole is None else whole

    def _split_from(self, each: Sequence[Tensor]) -> Tensor | None:
        """The code that the parts are :meth:`split` from, which then need not be copied."""
        whole = each[0]._base
        if whole is None or whole.shape != (*each[0].shape[:-1], self.latents):
            return None
        at = whole.storage_offset()
        for part, size in zip(each, self.sizes.values(), strict=True):
            same = part._base is whole and part.stride() == whole.stride()
            if not same or part.shape[-1] != size or part.storage_offset() != at:
                return None
            at += size * whole.stride(-1)
        return whole

    def active_latents(
        self, active: Bool[Tensor, "*groups factors"]
    ) -> Bool[Tensor, "groups latents"]:
        """Which latents vary in each minibatch, given which factors do."""
        rows = active.reshape(-1, len(self.sizes))
        spread = [rows[:, i : i + 1].expand(-1, n) for i, n in enumerate(self.sizes.values())]
        return torch.cat(spread, 1)

    def index(self, factor: str) -> int:
        """Position of a factor among :attr:`factors`.

        Raises:
            ValueError: A factor that the code does not have.
        """
        if factor not in self.sizes:
            raise ValueError(
                f"the graphics code has the factors {', '.join(self.factors)}, got {factor!r}"
            )
        return self.factors.index(factor)

    def active(self, varying: str) -> Bool[Tensor, " factors"]:
        """Mask over :attr:`factors`: true for those that vary in minibatches of a type.

        Args:
            varying: Name of the type: a factor, ``pose``, or factors joined by ``+``.

        Raises:
            InputError: A factor that the code does not have.
        """
        varies = type_factors(varying, self.extrinsic)
        return torch.tensor([name in varies for name in self.factors])

    def varying(self, active: Bool[Tensor, " factors"]) -> str:
        """Name of the type of a mask: the inverse of :meth:`active`."""
        rows = zip(self.factors, active.tolist(), strict=True)
        return type_name([name for name, varies in rows if varies], self.extrinsic)


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
