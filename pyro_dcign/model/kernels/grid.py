"""Sizes of the kernels' grids and blocks."""

import triton

PROGRAMS = 1056
"""Most programs of a kernel that reduces: eight for each of an H100's 132 multiprocessors."""


def blocks(elements: int, block: int) -> int:
    """How many blocks cover that many elements."""
    return -(-elements // block)


def power(n: int) -> int:
    """The least power of two that is not below n."""
    found: int = triton.next_power_of_2(n)
    return found


def pixels(channels: int, *, elements: int = 4096) -> int:
    """Pixels in a block of that many elements with all their channels, padded to a power of 2."""
    return max(1, min(1024, elements // power(channels)))
