"""A folder of pictures and a table, factors.csv: file, identity and a column for each factor."""

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from pyro_dcign.datasets.manifest import MAX_FACTORS, MAX_SIDE, check_factor_names
from pyro_dcign.datasets.readers.forming import MAX_VALUE
from pyro_dcign.datasets.readers.pictures import picture
from pyro_dcign.datasets.readers.source import Column, Grey, Source
from pyro_dcign.errors import need_folder, refuse

TABLE = "factors.csv"
MAX_ROWS = 2_000_000
_MEND = "mend the table"


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """A user's own pictures.

    The table's first line names its columns: ``file`` (a path within the folder, with /),
    ``identity`` (any text: the same text is the same thing) and numbers, one column a factor,
    angles in degrees.
    """
    need_folder(path)
    files, who, values = _table(path)
    first = picture(files[0])

    def read(start: int, stop: int) -> Grey:
        found = picture(files[start])
        assert stop == start + 1
        return found

    yield Source(
        {name: Column(np.array(column)) for name, column in values.items()},
        np.array(who, np.int64),
        tuple(values),
        side=min(*first.shape[1:], MAX_SIDE),
        read=read,
    )


def _table(folder: Path) -> tuple[list[Path], list[int], dict[str, list[float]]]:
    path = folder / TABLE
    if not path.is_file():
        raise refuse(folder, f"a table {TABLE}", "none", "write one: file,identity,azimuth,…")
    root = folder.resolve()
    files: list[Path] = []
    who: list[int] = []
    known: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            lines = csv.reader(opened, strict=True)
            head = [name.strip() for name in next(lines, [])]
            names = tuple(name for name in head if name not in ("file", "identity"))
            if sorted(head) != sorted({*head, "file", "identity"}) or len(names) > MAX_FACTORS:
                raise refuse(path, "columns file, identity and factors", ",".join(head), _MEND)
            check_factor_names(names)
            values: dict[str, list[float]] = {name: [] for name in names}
            for number, line in enumerate(lines, 2):
                if len(line) != len(head) or number > MAX_ROWS:
                    raise refuse(
                        path, f"{len(head)} columns", f"{len(line)} in line {number}", _MEND
                    )
                row = dict(zip(head, line, strict=True))
                files.append(_inside(path, root, row["file"].strip(), number))
                who.append(known.setdefault(row["identity"].strip(), len(known)))
                for name in names:
                    values[name].append(_number(path, row[name], name, number))
    except (UnicodeDecodeError, csv.Error) as error:
        raise refuse(path, "a table of comma-separated text in UTF-8", error, _MEND) from None
    if not files:
        raise refuse(path, "1 or more pictures", "none", _MEND)
    return files, who, values


def _inside(path: Path, root: Path, name: str, number: int) -> Path:
    """The picture's path, which must not leave the folder, not even by a link."""
    plain = PurePosixPath(name)
    if not name or "\0" in name or plain.is_absolute() or ".." in plain.parts:
        raise refuse(path, "paths within the folder", f"{name!r} in line {number}", _MEND)
    found = (root / plain).resolve()
    if not found.is_relative_to(root):
        raise refuse(path, "paths within the folder", f"{name!r} in line {number}", _MEND)
    return found


def _number(path: Path, text: str, name: str, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_VALUE:
        raise refuse(path, f"a number as {name}", f"{text!r} in line {number}", _MEND)
    return float(np.float32(value))  # as a store holds it
