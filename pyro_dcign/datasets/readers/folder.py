"""A folder of pictures and a table, factors.csv: file, identity and a column for each factor."""

import csv
import math
import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.datasets.circle import with_periods
from pyro_dcign.datasets.manifest import (
    MAX_FACTORS,
    MAX_SIDE,
    MAX_VALUE,
    check_factor_names,
)
from pyro_dcign.datasets.readers.pictures import picture
from pyro_dcign.datasets.readers.source import Column, Grey, Source, as_stored
from pyro_dcign.errors import need_folder, refuse

TABLE = "factors.csv"
MAX_ROWS = 1_000_000
MAX_BYTES = 256 * 2**20
_MAX_LINE = 65536
_MEND = "mend the table"
_PERIOD = re.compile(r"(\S+)\s*\(period ([^\s()]+)\)")
_NOBODY = frozenset({"", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "<NA>", "None", "null", "NULL"})
"""How spreadsheets and pandas write an empty cell."""


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """A user's own pictures.

    The table's first line names its columns: ``file`` (a path within the folder, with /),
    ``identity`` (any text: the same text is the same thing) and numbers, one column a factor,
    angles in degrees. A column headed ``azimuth (period 360)`` is a full circle.
    """
    need_folder(path)
    files, who, values, periods = _table(path)
    first = picture(path / files[0])

    def read(start: int, stop: int) -> Grey:
        assert stop == start + 1
        return picture(path / files[start])

    found = Source(
        {name: Column(as_stored(column, name, _row)) for name, column in values.items()},
        who,
        tuple(values),
        side=min(*first.shape[1:], MAX_SIDE),
        read=read,
        row=_row,
    )
    yield with_periods(found, periods)


def _row(number: int) -> str:
    return f"line {number + 2}"


def _table(
    folder: Path,
) -> tuple[list[str], NDArray[np.int64], dict[str, NDArray[np.float64]], dict[str, float]]:
    path = folder / TABLE
    if not path.is_file():
        raise refuse(folder, f"a table {TABLE}", "none", "write one: file,identity,azimuth,…")
    if path.stat().st_size > MAX_BYTES:
        raise refuse(path, f"at most {MAX_BYTES} bytes", path.stat().st_size, "split it")
    root = folder.resolve()
    files: list[str] = []
    listed: dict[str, int] = {}
    who = array("q")
    known: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            lines = _lines(opened)
            periods: dict[str, float] = {}
            head = [_name(path, name.strip(), periods) for name in next(lines, [])]
            names = tuple(name for name in head if name not in ("file", "identity"))
            if sorted(head) != sorted({*head, "file", "identity"}) or len(names) > MAX_FACTORS:
                raise refuse(path, "columns file, identity and factors", ",".join(head), _MEND)
            check_factor_names(names)
            values = {name: array("d") for name in names}
            for number, line in enumerate(lines, 2):
                if number > MAX_ROWS + 1:
                    raise refuse(path, f"at most {MAX_ROWS} pictures", "more", "split it")
                if len(line) != len(head):
                    raise refuse(
                        path, f"{len(head)} columns", f"{len(line)} in line {number}", _MEND
                    )
                row = dict(zip(head, line, strict=True))
                file, identity = row["file"].strip(), row["identity"].strip()
                _check_inside(path, root, file, number)
                before = listed.setdefault(str(PurePosixPath(file)), number)
                if before != number:
                    raise refuse(
                        path,
                        "each picture in one line",
                        f"{file!r} in lines {before} and {number}",
                        "remove one of them",
                    )
                if identity in _NOBODY:
                    raise refuse(
                        path,
                        "an identity for each picture",
                        f"{identity!r} in line {number}",
                        "name who or what it shows, or remove the line",
                    )
                files.append(file)
                who.append(known.setdefault(identity, len(known)))
                for name in names:
                    values[name].append(_number(path, row[name], name, number))
    except (UnicodeDecodeError, csv.Error) as error:
        raise refuse(path, "a table of comma-separated text in UTF-8", error, _MEND) from None
    if not files:
        raise refuse(path, "1 or more pictures", "none", _MEND)
    columns = {name: np.frombuffer(column) for name, column in values.items()}
    return files, np.frombuffer(who, np.int64), columns, periods


def _name(path: Path, text: str, periods: dict[str, float]) -> str:
    """The name in a heading, whose period is noted where it has one."""
    if found := _PERIOD.fullmatch(text):
        periods[found[1]] = _number(path, found[2], f"period of {found[1]}", 1)
        return found[1]
    return text


def _lines(opened: TextIO) -> Iterator[list[str]]:
    """The fields of each line; one by one, as a quoted line end would let a record grow."""
    for line in iter(partial(opened.readline, _MAX_LINE), ""):
        if len(line) == _MAX_LINE:
            raise csv.Error(f"a line of {_MAX_LINE} characters or more")
        yield next(csv.reader([line], strict=True))


def _check_inside(path: Path, root: Path, name: str, number: int) -> None:
    """Raise InputError if a picture's path leaves the folder, be it by a link, or is too long."""
    plain = PurePosixPath(name)
    try:
        inside = bool(name) and not plain.is_absolute() and ".." not in plain.parts
        inside = inside and len(name) < 1024 and all(len(p.encode()) < 256 for p in plain.parts)
        inside = inside and (root / plain).resolve().is_relative_to(root)
    except (ValueError, OSError, RuntimeError):  # a zero byte, too long a name, a circle of links
        inside = False
    if not inside:
        raise refuse(path, "paths within the folder", f"{name!r} in line {number}", _MEND)


def _number(path: Path, text: str, name: str, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_VALUE:
        raise refuse(path, f"a number as {name}", f"{text!r} in line {number}", _MEND)
    return value
