"""Labelled pictures in memory, formed into typed minibatches."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.datasets import (
    MINIBATCH,
    Column,
    EvaluationSet,
    Source,
    Store,
    bring,
    evaluation_set,
)
from pyro_dcign.errors import InputError
from pyro_dcign.images import Pictures, pixels_of


@final
class TypedImages:
    """Pictures with known factors, as minibatches in which only some of them vary.

    Attributes:
        store: The minibatches on disk, in a temporary folder unless one was named.

    Example:
        >>> import numpy as np, pyro_dcign as dcign
        >>> who, turn = (grid.ravel() for grid in np.meshgrid(range(6), [0.0, 30, 60]))
        >>> x = np.random.default_rng(0).random((18, 16, 16))
        >>> data = dcign.TypedImages.from_arrays(x, identity=who, azimuth=turn, size=3)
        >>> data  # doctest: +ELLIPSIS
        TypedImages(16 × 16, azimuth 0 to 60; train ..., test ... minibatches of 3)
        >>> set(data.test.identity.tolist()) & set(data.train.identity.tolist())
        set()
    """

    def __init__(self, store: Store | Path | str) -> None:
        self.store = store if isinstance(store, Store) else Store.open(store)
        self.temporary = False
        """Whether the minibatches go when this object does."""
        self._source: Source | None = None
        self._options: dict[str, Any] = {}
        self._sizes: dict[int, TypedImages] = {}

    @classmethod
    def from_arrays(
        cls,
        x: Pictures,
        *,
        identity: Any,
        periods: Mapping[str, float] | None = None,
        side: int | None = None,
        size: int = MINIBATCH,
        test_fraction: float | None = None,
        tolerance: float = 0.0,
        seed: int = 0,
        folder: Path | str | None = None,
        **factors: Any,
    ) -> "TypedImages":
        """Form typed minibatches of pictures whose identity and factors are known.

        Args:
            x: Pictures as :func:`pyro_dcign.images.pixels_of` takes them.
            identity: Who or what is shown: numbers or text, one for each picture.
            periods: Of factors on a circle, e.g. ``{"azimuth": 360}``.
            side: Height and width to store; by default the pictures' own.
            size: Images in a minibatch.
            test_fraction: Share of the identities that is kept for the test; by default a tenth,
                and two or more, so that the identity can vary.
            tolerance: How far held factors may stray within a minibatch, in their own units.
            seed: Of the split and the draws.
            folder: Where to keep the minibatches; by default they go with this object.
            factors: Values of each extrinsic factor, one for each picture; degrees for angles.

        Raises:
            InputError: Labels of another length or kind, or pictures that no such minibatches can
                be formed of.
        """
        pixels = pixels_of(x, side).numpy()
        columns = {
            name: Column(_numbers(name, values, len(pixels)), (periods or {}).get(name))
            for name, values in factors.items()
        }
        _check_periods(periods or {}, columns)
        who = _array("identity", identity, len(pixels))
        if who.dtype.kind == "f" and not np.isfinite(who).all():
            raise InputError("identity is to be numbers or text, got NaN or infinity; mend it")
        source = Source(
            columns,
            np.unique(who, return_inverse=True)[1].astype(np.int64),
            tuple(columns),
            side=pixels.shape[-1],
            read=lambda start, stop: pixels[start:stop],
            block=1024,
        )
        if test_fraction is None:
            test_fraction = min(1.0, max(0.1, 2 / len(np.unique(source.who))))
        options = {
            "size": size,
            "test_fraction": test_fraction,
            "tolerance": tolerance,
            "seed": seed,
        }
        return cls._formed(source, options, pixels.shape[-1], folder)

    @classmethod
    def _formed(
        cls, source: Source, options: dict[str, Any], side: int, folder: Path | str | None
    ) -> "TypedImages":
        path = scratch(source) / "data" if folder is None else Path(folder)
        made = cls(bring("arrays", source, path, side=side, quiet=True, **options))
        made.temporary = folder is None
        made._source, made._options = source, options
        return made

    def at(self, side: int) -> "TypedImages":
        """The same at another size, where they were made of arrays; else the same."""
        if side == self.store.side or self._source is None:
            return self
        if side not in self._sizes:
            self._sizes[side] = self._formed(self._source, self._options, side, None)
        return self._sizes[side]

    @cached_property
    def train(self) -> EvaluationSet:
        """The images of the identities to train on, with their labels."""
        return evaluation_set(self.store, "train")

    @cached_property
    def test(self) -> EvaluationSet:
        """The images of the other identities."""
        return evaluation_set(self.store, "test")

    def __repr__(self) -> str:
        store = self.store
        ranges = ", ".join(f"{n} {r.low:g} to {r.high:g}" for n, r in store.factors.items())
        train, test = (sum(store.counts(split).values()) for split in ("train", "test"))
        return (
            f"TypedImages({store.side} × {store.side}, {ranges}; train {train}, test {test} "
            f"minibatches of {store.size})"
        )


def scratch(owner: object) -> Path:
    """A temporary folder that is removed when its owner goes (and at the end)."""
    folder = tempfile.mkdtemp(prefix="pyro-dcign-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _array(name: str, values: Any, count: int) -> NDArray[Any]:
    found = np.asarray(values)
    if found.shape != (count,) or found.dtype.kind not in "iufU":
        raise InputError(
            f"{name} is to be {count} labels, one for each picture, got {found.dtype} of shape "
            f"{found.shape}; mend it"
        )
    return found


def _numbers(name: str, values: Any, count: int) -> NDArray[np.float64]:
    found = _array(name, values, count)
    if found.dtype.kind == "U":
        raise InputError(f"{name} is to be numbers, degrees for angles, got text; number them")
    return found.astype(np.float32).astype(np.float64)  # as a store holds them


def _check_periods(periods: Mapping[str, float], columns: Mapping[str, Column]) -> None:
    for name, period in periods.items():
        if name not in columns or not 0 < period < 1e9:
            raise InputError(
                f"a period is a positive number for one of {', '.join(columns) or '(none)'}, got "
                f"{name}={period!r}; mend periods"
            )
