"""The one error for input that a user can mend, and checks that raise it."""

from pathlib import Path


class InputError(ValueError):
    """What was expected, what was found, and the remedy, in one line.

    The command line prints it on stderr and exits with status 2; any other exception is our bug and
    keeps its traceback. Control characters, which a file may have brought, are shown as "?".

    Example:
        >>> import pyro_dcign as dcign
        >>> try:
        ...     dcign.load("nosuch")
        ... except dcign.InputError as error:
        ...     print(error)
        a network is one of faces, people or a run's folder, nosuch is none; check the path
    """

    def __init__(self, text: str) -> None:
        super().__init__(plain(text))


def refuse(path: Path, expected: str, found: object, remedy: str = "fetch it again") -> InputError:
    """The error for a file that is not what it should be."""
    return InputError(f"{path}: expected {expected}, found {plain(found, 160)}; {remedy}")


def plain(found: object, most: int | None = None) -> str:
    """Text from a file as a terminal may show it: one line, no control characters, not long."""
    shown = " ".join(str(found).split())[:most]
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def need_file(path: Path) -> None:
    """Raise InputError unless there is a file at the path."""
    if not path.is_file():
        raise InputError(f"expected a file at {path}, found none; give the path of the data file")


def need_folder(path: Path) -> None:
    """Raise InputError unless there is a folder at the path."""
    if not path.is_dir():
        raise InputError(f"expected a folder at {path}, found none; give the folder of the data")
