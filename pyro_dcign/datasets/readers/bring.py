"""Importing a set: labels first, then minibatches, then one pass over its images."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_dcign import __version__
from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.manifest import MAX_SIDE, MAX_SIZE, SPLITS, check_factor_names
from pyro_dcign.datasets.minibatch import MINIBATCH, Minibatch
from pyro_dcign.datasets.plans.recipe import counts, with_types
from pyro_dcign.datasets.progress import Progress
from pyro_dcign.datasets.readers import KINDS
from pyro_dcign.datasets.readers.forming import Labels, form, labels
from pyro_dcign.datasets.readers.gather import Gathered, gathered
from pyro_dcign.datasets.readers.source import Source
from pyro_dcign.datasets.readers.torch7 import bring_torch7
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.write import check_vacant, write_store
from pyro_dcign.errors import InputError
from pyro_dcign.varying import standard_types, type_number

TRAIN, TEST = 3000, 350
"""Most minibatches of each type by default (as many as the paper has)."""

_MAX_VALUES = 1000  # a factor with more different values is continuous


def bring(
    kind: str,
    path: Path | str,
    out: Path | str,
    *,
    factors: Sequence[str] | None = None,
    side: int | None = None,
    size: int = MINIBATCH,
    minibatches: int = TRAIN,
    intrinsic: int | None = None,
    test: int = TEST,
    types: str = "",
    test_fraction: float = 0.1,
    tolerance: float = 0.0,
    seed: int = 0,
    quiet: bool = False,
) -> Store:
    """Import a set in someone's format as a store of typed minibatches.

    Args:
        kind: One of :data:`KINDS`.
        path: The set, as downloaded.
        out: Where the store is to appear; absent or empty.
        factors: Extrinsic factors, in the order of the code; by default those of the kind.
        side: Height and width to store; by default the set's own (aubry: 150).
        size: Images in a minibatch.
        minibatches: Most of each type but the intrinsic one to train on.
        intrinsic: Most of the intrinsic type to train on; by default as many.
        test: Most of each type to test on.
        types: Another number to train on for some types, as ``pose=500,azimuth+elevation=100``.
        test_fraction: Share of the things shown that is kept for the test, unless the set's makers
            have split it.
        tolerance: How far held factors may stray within a minibatch, in their own units.
        seed: Of the split and the draws.
        quiet: Show no progress.

    Raises:
        InputError: A damaged or foreign file, or a set that no such minibatches can be formed of.
    """
    path, out = Path(path), Path(out)
    if kind not in KINDS:
        raise InputError(f"a kind is one of {', '.join(KINDS)}, got {kind!r}; name one of them")
    check_vacant(out)
    if kind == "torch7":
        return bring_torch7(path, out, quiet=quiet)
    module = import_module(f"pyro_dcign.datasets.readers.{_MODULES.get(kind, kind)}")
    with module.source(path) as source:
        names = source.default if factors is None else tuple(factors)
        side = source.side if side is None else side
        check_factor_names(names)
        for what, value, low, high in (
            ("side", side, 8, MAX_SIDE),
            ("size of minibatches", size, 2, MAX_SIZE),
        ):
            if not low <= value <= high:
                raise InputError(
                    f"expected a {what} from {low} to {high}, found {value}; change it"
                )
        intrinsic = minibatches if intrinsic is None else intrinsic
        listed = standard_types(names)
        wanted = counts(listed, train=minibatches, intrinsic=intrinsic, test=test)
        wanted = with_types(wanted, types, names, test=test)
        known = labels(source, names, test_fraction=test_fraction, seed=seed)
        formed = {}
        for k, split in enumerate(SPLITS):
            for varying, most in wanted[split].items():
                groups = form(
                    known,
                    varying,
                    split=split,
                    size=size,
                    most=most,
                    tolerance=tolerance,
                    seed=(seed, k, type_number(varying, names)),
                )
                formed[split, varying] = groups
        if not sum(len(groups) for groups in formed.values()):
            raise InputError("expected 1 or more minibatches, found 0; raise the counts")
        numbers = np.unique(np.concatenate([groups.ravel() for groups in formed.values()]))
        there = next(parent for parent in out.absolute().parents if parent.is_dir())
        with gathered(source, numbers, side=side, beside=there, quiet=quiet) as images:
            return write_store(
                out,
                _minibatches(formed, known, images, quiet=quiet),
                factors={name: _range(source, name) for name in names},
                recipe=_recipe(kind, path, names, seed, test_fraction),
                tolerance=tolerance,
            )


_MODULES = {"3dshapes": "shapes3d"}


def _minibatches(
    formed: dict[tuple[str, str], Any], known: Labels, images: Gathered, *, quiet: bool
) -> Iterator[tuple[str, Minibatch]]:
    total = sum(groups.size for groups in formed.values())
    with Progress(total, "writing minibatches", quiet=quiet) as progress:
        for (split, varying), groups in formed.items():
            for numbers in groups:
                yield (
                    split,
                    Minibatch(
                        torch.from_numpy(images[numbers]),
                        varying,
                        {
                            name: torch.from_numpy(values[numbers].astype(np.float32))
                            for name, values in known.factors.items()
                        },
                        torch.from_numpy(known.identity[numbers]),
                    ),
                )
                progress.add(len(numbers))


def _range(source: Source, name: str) -> FactorRange:
    column = source.columns[name]
    values = np.unique(column.values)
    low, high = float(values[0]), float(values[-1])
    if column.period is not None:
        high = low + column.period
    few = values.tolist() if len(values) <= _MAX_VALUES else []
    return FactorRange(low, high, tuple(few), column.period)


def _recipe(
    kind: str, path: Path, names: Sequence[str], seed: int, test_fraction: float
) -> dict[str, Any]:
    return {
        "imported": kind,
        "from": path.name,
        "factors": list(names),
        "seed": seed,
        "test_fraction": test_fraction,
        "version": __version__,
    }
