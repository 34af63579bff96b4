"""Memory that a step frees and the next step asks for again, kept by the process in between."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The parameters of mallopt(3), and its defaults.
_TRIM, _PAD, _MAPS = -1, -2, -4
_KEEP = {_MAPS: 0, _TRIM: -1, _PAD: 64 * 2**20}
_DEFAULT = {_MAPS: 65_536, _TRIM: 128 * 1024, _PAD: 128 * 1024}


@contextmanager
def kept_heap() -> Iterator[None]:
    """Let the C library keep large freed blocks; without glibc nothing happens.

    By default every large tensor is new pages from the kernel, which it fills with zeros, and goes
    back when it is freed: a fifth of a step of the paper's network on a CPU.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    assert library is not None
    for parameter, value in _KEEP.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _DEFAULT.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)
