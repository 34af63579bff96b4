"""Forming typed minibatches from labels: images that agree in everything but some factors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.manifest import MAX_VALUE
from pyro_dcign.datasets.readers.source import Source
from pyro_dcign.errors import InputError
from pyro_dcign.varying import type_factors

_LIMIT = 2**62  # of a combined code
_NONE = 1e-30
_TRIES = 20  # anchors for each minibatch that is wanted, where values are matched loosely


@dataclass(frozen=True)
class Labels:
    """What is known of each image.

    Attributes:
        factors: Values of the extrinsic factors, in the order of the code.
        identity: Everything else, numbered.
        test: Which images belong to the test.
    """

    factors: Mapping[str, Float64[ndarray, " images"]]
    identity: Int64[ndarray, " images"]
    test: Bool[ndarray, " images"]


def labels(source: Source, names: Sequence[str], *, test_fraction: float, seed: int) -> Labels:
    """Labels of a source under a graphics code.

    Factors that the code leaves out join the identity. Where the set's makers do not say what is to
    test, a share of the things shown is, drawn from the seed.

    Raises:
        InputError: A factor that the set lacks or that is named twice, or a share that leaves
            either split without anything.
    """
    for name in names:
        if name not in source.columns:
            raise InputError(
                f"expected factors among {', '.join(source.columns) or 'none'}, found {name}; "
                f"mend --factors"
            )
    if len(set(names)) != len(names):
        raise InputError(f"expected each factor once, found {','.join(names)}; mend --factors")
    if not 0 <= test_fraction <= 1:
        raise InputError(
            f"expected a share from 0 to 1, found {test_fraction:g}; change --test-fraction"
        )
    for name in names:
        values = source.columns[name].values
        if not (np.abs(values) <= MAX_VALUE).all():
            raise InputError(
                f"expected numbers within {MAX_VALUE:g} as {name}, found others; mend the labels"
            )
        if len(np.unique(values)) < 2:
            raise InputError(
                f"expected two values or more of each factor, found {values[0]:g} alone as {name}; "
                "leave it out of --factors"
            )
    rest = [column.values for name, column in source.columns.items() if name not in names]
    identity = _combined([source.who, *rest])
    if source.test is not None:
        test = source.test
    else:
        things = _combined([source.who]) if source.apart else identity
        number = int(things.max()) + 1
        kept = round(test_fraction * number)
        if number < 2:
            raise InputError(
                "expected 2 identities or more, some to train and some to test, found 1; give each "
                "person or thing an identity of its own"
            )
        if not 0 < kept < number:
            least = math.ceil(100 / number) / 100
            raise InputError(
                f"expected a share that leaves some of {number} identities to train and some to "
                f"test, found {test_fraction:g}; use --test-fraction {least:g}"
            )
        order = np.random.Generator(np.random.PCG64(seed)).permutation(number)
        test = np.isin(things, order[:kept])
    return Labels({name: source.columns[name].values for name in names}, identity, test)


def spread_out(tolerance: float | Mapping[str, float], known: Labels) -> dict[str, float]:
    """How far each factor may stray while it is held.

    Raises:
        InputError: A factor that there is not, a negative number, or one that leaves a factor
            unheld because it spans no more.
    """
    names = tuple(known.factors)
    given = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(names, tolerance)
    for name, within in given.items():
        if name not in names or not 0 <= within <= MAX_VALUE:
            raise InputError(
                f"expected a tolerance from 0 to {MAX_VALUE:g} for one of {', '.join(names)}, "
                f"found {name}={within:g}; mend --tolerance"
            )
        extent = float(np.ptp(known.factors[name]))
        if 0 < extent <= within:
            raise InputError(
                f"expected a tolerance below the extent of each factor, found {within:g} for "
                f"{name}, which spans {extent:g} and would never be held; give each factor its "
                f"own: --tolerance {','.join(f'{n}={_fifth(known, n):g}' for n in names)}"
            )
    return {name: float(given.get(name, 0.0)) for name in names}


def _fifth(known: Labels, name: str) -> float:
    return float(f"{np.ptp(known.factors[name]) / 10:.1g}")


def form(
    known: Labels,
    varying: str,
    *,
    split: str,
    size: int,
    most: int,
    tolerance: Mapping[str, float],
    seed: Sequence[int],
) -> Int64[ndarray, "minibatches images"]:
    """Numbers of the images of minibatches of one type.

    What is held is equal in a minibatch; of what varies, two images differ or more. Each of a
    group's values comes once before any comes twice, so a factor of six values fills a minibatch of
    twenty with repeats. With a tolerance, images near a randomly chosen one are taken; where the
    identity varies, the nearest of each.

    Args:
        known: Labels of the images.
        varying: Name of the type, see :func:`pyro_dcign.code.type_factors`.
        split: "train" or "test".
        size: Images in a minibatch.
        most: Minibatches that are wanted.
        tolerance: How far each factor may stray within a minibatch while it is held.
        seed: Of the draws.

    Raises:
        InputError: No two images agree in everything else.
    """
    rows = np.flatnonzero(known.test == (split == "test"))
    generator = np.random.Generator(np.random.PCG64(list(seed)))
    if not most:
        return np.empty((0, size), np.int64)
    varies = type_factors(varying, known.factors)
    columns = {**known.factors, INTRINSIC: known.identity}
    moved = {name: values[rows] for name, values in columns.items() if name in varies}
    held = {name: values[rows] for name, values in columns.items() if name not in varies}
    if any(tolerance.values()):
        found = _near(moved, held, generator, size=size, most=most, tolerance=tolerance)
    else:
        columns_moved, columns_held = list(moved.values()), list(held.values())
        found = _equal(columns_moved, columns_held, generator, size=size, most=most)
    if not len(found):
        what = "shown things" if varying == INTRINSIC else varying
        raise InputError(
            f"expected images to {split} that differ in {what} and agree in all else within "
            f"{_said(tolerance)}, found none; raise --tolerance of what is held, change --factors "
            f"or --test-fraction"
        )
    return np.asarray(rows[found])


def _said(tolerance: Mapping[str, float]) -> str:
    if len(set(tolerance.values())) == 1:
        return f"{next(iter(tolerance.values())):g}"
    return ", ".join(f"{name} {within:g}" for name, within in tolerance.items())


def _equal(
    moved: Sequence[ndarray],
    held: Sequence[ndarray],
    generator: np.random.Generator,
    *,
    size: int,
    most: int,
) -> ndarray:
    """Minibatches of images whose held factors are equal."""
    value = _combined(moved)
    key = _combined(held, len(value))
    order = np.lexsort((value, key))
    key, value = key[order], value[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    stop = np.append(start[1:], len(key))
    several = value[stop - 1] != value[start] if len(start) else np.empty(0, bool)
    start, stop = start[several], stop[several]
    if not len(start):
        return np.empty((0, size), np.int64)
    # No more than use every image about once: further ones would show the same again.
    most = min(most, int(np.ceil((stop - start) / size).sum()))
    # All groups once in a drawn order, then all of them again, with other images.
    rounds = [generator.permutation(len(start)) for _ in range(-(-most // len(start)))]
    chosen = np.concatenate(rounds)[:most]
    out = np.empty((len(chosen), size), np.int64)
    for row, group in enumerate(chosen):
        members = np.arange(start[group], stop[group])
        out[row] = order[_pick(members, value[members], size, generator)]
    return out


def _near(
    moved: Mapping[str, ndarray],
    held: Mapping[str, ndarray],
    generator: np.random.Generator,
    *,
    size: int,
    most: int,
    tolerance: Mapping[str, float],
) -> ndarray:
    """Minibatches of images whose held factors lie within half the tolerance of a drawn image's.

    A held identity must be equal. Where it varies, the nearest image of each combination of what
    varies is taken.
    """
    values = list(moved.values())
    value = values[0] if len(values) == 1 else _combined(values)
    loose, person = INTRINSIC in moved, held.get(INTRINSIC)
    names = [name for name in held if name != INTRINSIC]
    table = np.stack([held[name] for name in names]) if names else np.zeros((1, len(value)))
    # A factor without a tolerance agrees exactly: any difference is too far.
    scale = np.array([tolerance.get(name, 0.0) or _NONE for name in names] or [1.0])[:, None]
    out: list[ndarray] = []
    for anchor in generator.permutation(len(value))[: _TRIES * most]:
        apart = (np.abs(table - table[:, anchor : anchor + 1]) / scale).max(0)
        # A hair less than half: rounding to 32 bits must not carry the spread over the tolerance.
        close = apart <= 0.4999
        if person is not None:
            close &= person == person[anchor]
        members = np.flatnonzero(close)
        if loose:  # of each thing the nearest image
            members = members[np.argsort(apart[members], kind="stable")]
            members = members[np.unique(value[members], return_index=True)[1]]
            enough = len(members) > 1
        else:
            enough = _moves(moved, members, tolerance)
        if enough:
            picked = _pick(members, value[members], size, generator)
            if loose or _moves(moved, picked, tolerance):
                out.append(picked)
        if len(out) == most:
            break
    return np.stack(out) if out else np.empty((0, size), np.int64)


def _moves(moved: Mapping[str, ndarray], members: ndarray, tolerance: Mapping[str, float]) -> bool:
    """Whether something that varies does so by more than it might while it is held."""
    return any(np.ptp(values[members]) > tolerance.get(name, 0.0) for name, values in moved.items())


def _pick(members: ndarray, value: ndarray, size: int, generator: np.random.Generator) -> ndarray:
    """``size`` of the members, every value once before any twice, and no image before it must."""
    shuffled = generator.permutation(len(members))
    by_value = shuffled[np.argsort(value[shuffled], kind="stable")]
    first = np.searchsorted(value[by_value], value[by_value])
    turn = np.empty(len(members), np.int64)
    turn[by_value] = np.arange(len(members)) - first
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    return np.asarray(np.resize(members[order], size))


def _combined(columns: Sequence[ndarray], rows: int = 0) -> ndarray:
    """One number for each different row of the columns, from 0 on."""
    total, length = np.zeros(len(columns[0]) if columns else rows, np.int64), 1
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        if length * len(values) >= _LIMIT:
            total = np.unique(total, return_inverse=True)[1]
            length = int(total.max()) + 1
        total, length = total * len(values) + code, length * len(values)
    return np.asarray(np.unique(total, return_inverse=True)[1], np.int64)
