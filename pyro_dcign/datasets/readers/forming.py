"""Forming typed minibatches from labels: images that agree in everything but some factors."""

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
    for name in names:
        values = source.columns[name].values
        if not (np.abs(values) <= MAX_VALUE).all():
            raise InputError(
                f"expected numbers within {MAX_VALUE:g} as {name}, found others; mend the labels"
            )
    rest = [column.values for name, column in source.columns.items() if name not in names]
    identity = _combined([source.who, *rest])
    if source.test is not None:
        test = source.test
    else:
        things = _combined([source.who]) if source.apart else identity
        number = int(things.max()) + 1
        kept = round(test_fraction * number)
        if not 0 < kept < number:
            raise InputError(
                f"expected a share that leaves some of {number} identities to train and some to "
                f"test, found {test_fraction:g}; change --test-fraction"
            )
        order = np.random.Generator(np.random.PCG64(seed)).permutation(number)
        test = np.isin(things, order[:kept])
    return Labels({name: source.columns[name].values for name in names}, identity, test)


def form(
    known: Labels,
    varying: str,
    *,
    split: str,
    size: int,
    most: int,
    tolerance: float,
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
        tolerance: How far held factors may stray within a minibatch.
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
    moved = [values[rows] for name, values in columns.items() if name in varies]
    held = [values[rows] for name, values in columns.items() if name not in varies]
    if tolerance > 0:
        loose = INTRINSIC in varies
        found = _near(moved, held, generator, size=size, most=most, within=tolerance, loose=loose)
    else:
        found = _equal(moved, held, generator, size=size, most=most)
    if not len(found):
        what = "shown things" if varying == INTRINSIC else varying
        raise InputError(
            f"expected images to {split} that differ in {what} and agree in all else within "
            f"{tolerance:g}, found none; raise --tolerance, change --factors or --test-fraction"
        )
    return np.asarray(rows[found])


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
    moved: Sequence[ndarray],
    held: list[ndarray],
    generator: np.random.Generator,
    *,
    size: int,
    most: int,
    within: float,
    loose: bool,
) -> ndarray:
    """Minibatches of images whose held factors lie within half the tolerance of a drawn image's.

    The last of the held columns is the identity and must be equal, unless ``loose``: then the
    identity varies too, and the nearest image of each combination of what varies is taken.
    """
    value = moved[0] if len(moved) == 1 else _combined(moved)
    person = None if loose else held.pop()
    table = np.stack(held) if held else np.zeros((1, len(value)))
    out: list[ndarray] = []
    for anchor in generator.permutation(len(value))[: _TRIES * most]:
        apart = np.abs(table - table[:, anchor : anchor + 1]).max(0)
        # A hair less than half: rounding to 32 bits must not carry the spread over the tolerance.
        close = apart <= 0.4999 * within
        if person is not None:
            close &= person == person[anchor]
        members = np.flatnonzero(close)
        if loose:  # of each thing the nearest image
            members = members[np.argsort(apart[members], kind="stable")]
            members = members[np.unique(value[members], return_index=True)[1]]
            enough = len(members) > 1
        else:
            enough = _spread(moved, members) > within
        if enough:
            picked = _pick(members, value[members], size, generator)
            if loose or _spread(moved, picked) > within:
                out.append(picked)
        if len(out) == most:
            break
    return np.stack(out) if out else np.empty((0, size), np.int64)


def _spread(moved: Sequence[ndarray], members: ndarray) -> float:
    """The widest range of what varies over some images."""
    return max(float(np.ptp(values[members])) for values in moved)


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
