"""Files that appear on disk whole or not at all, and a lock on a folder."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pyro_dcign.errors import InputError

LOCK = ".lock"


def sync(path: Path) -> None:
    """Wait until the disk has what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an error of the disk the name of the file that met it; a write alone does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside a file to write it to; it is put into its own when the block ends well.

    A reader finds the old file or the new. The place keeps the file's ending, which libraries read.

    Raises:
        OSError: The disk is full, or the folder cannot be written to; the old file stays.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with naming(path):
            yield temporary
            sync(temporary)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file :func:`whole` or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to oneself, making it where there is none; the lock ends with its process.

    A folder that was made here and holds nothing at the end is removed again.

    Raises:
        InputError: Another run holds it, in this process or in another.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is to be a folder, but is a file; use another --out")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            try:
                yield
            finally:
                if made and [path.name for path in folder.iterdir()] == [LOCK]:
                    (folder / LOCK).unlink()
    except Timeout:
        raise InputError(
            f"{folder} is to be used by one run at a time, but another holds it; wait until that "
            "has ended, or choose another --out"
        ) from None
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
