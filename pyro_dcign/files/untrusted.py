"""Files from elsewhere: regular ones, of a limited size, and JSON without surprises."""

import json
import math
from pathlib import Path
from typing import Any

from pyro_dcign.errors import need_file, refuse

MEMORY = 2**30
"""Most bytes that a file makes a reader hold, beside the images of a set that is read whole."""

_DEEPEST = 32  # levels of JSON: what we write has six


def content(path: Path, most: int, *, remedy: str = "fetch it again") -> bytes:
    """All bytes of a regular file (a pipe would be waited for, a device has no end).

    Raises:
        InputError: No such file, or more than ``most`` bytes.
    """
    need_file(path)
    with path.open("rb") as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise refuse(path, f"at most {most} bytes", f"{path.stat().st_size}", remedy)
    return found


def parse_json(text: bytes | str) -> Any:
    """What a JSON text says, of finite numbers and unrepeated keys, at most 32 levels deep.

    Raises:
        ValueError: Anything else.

    Example:
        >>> parse_json('{"side": 64, "side": 65}')
        Traceback (most recent call last):
        ValueError: the key 'side' comes twice
    """
    try:
        found = json.loads(
            text,
            parse_constant=_number,
            parse_float=_number,
            parse_int=_whole,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return found
    raise ValueError("it is nested too deeply")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]}")
    return value


def _whole(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} comes twice")
    return found
