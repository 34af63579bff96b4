"""Factors that look like a full circle, and the periods that a user declares."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets.readers.source import Source
from pyro_dcign.errors import InputError

CIRCLES = (360.0, 2 * math.pi)
_FEWEST = 4  # values of a grid that can look like a circle
_NEARLY = 0.97  # of a circle, that values without a grid span


def looks_periodic(limits: FactorRange) -> float | None:
    """The period that a factor without one seems to have: 360, 2π or None.

    Its grid has equal steps and its next value would be the first one again, or its values span a
    circle.

    Example:
        >>> looks_periodic(FactorRange(0.0, 345.0, tuple(15.0 * i for i in range(24))))
        360.0
        >>> looks_periodic(FactorRange(-80.0, 80.0))
    """
    if limits.period:
        return None
    span, steps = limits.high - limits.low, np.diff(sorted(limits.values))
    equal = len(steps) >= _FEWEST - 1 and bool(np.ptp(steps) < 0.01 * steps[0])
    for circle in CIRCLES:
        closes = equal and abs(span + steps[0] - circle) < 0.05 * steps[0]
        if closes or _NEARLY * circle <= span <= 1.0001 * circle:
            return circle
    return None


def with_periods(source: Source, periods: Mapping[str, float]) -> Source:
    """A source some of whose factors are full circles: their values lie within one turn.

    Raises:
        InputError: A factor that the source lacks, or a period that is no positive number.
    """
    columns = dict(source.columns)
    for name, period in periods.items():
        if name not in columns:
            raise InputError(
                f"expected a period of one of {', '.join(columns) or 'none'}, found {name}; "
                f"name a factor of the set"
            )
        if not 0 < period <= 1e9:
            raise InputError(f"expected a positive period of {name}, found {period:g}; mend it")
        values = columns[name].values
        low = values.min(initial=np.inf)
        turned = values - period * np.floor((values - low) / period)
        columns[name] = replace(columns[name], values=turned, period=period)
    return replace(source, columns=columns)


def parse_periods(words: Sequence[str]) -> dict[str, float]:
    """Periods from NAME=NUMBER.

    Raises:
        InputError: Another form, or a name twice.
    """
    found: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            period = float(text)
        except ValueError:
            period = math.nan
        if not math.isfinite(period) or name.strip() in found:
            raise InputError(f"expected --period NAME=NUMBER once a factor, found {word}; mend it")
        found[name.strip()] = period
    return found
