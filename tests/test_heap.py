"""Laws of the kept heap: a block that was freed costs no new pages inside, and is given back."""

import resource
import sys
from pathlib import Path

import pytest
import torch

from pyro_dcign.machine import kept_heap

# 64 MB: above the 32 MB up to which glibc may by itself learn to keep a freed block.
FLOATS, BYTES = 2**24, 2**26


def faults() -> int:
    """Pages that the kernel has handed out to ten tensors of 64 MB, one after another."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(FLOATS)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_used_again_inside_and_given_back_after() -> None:
    outside = faults()
    with kept_heap():
        torch.ones(FLOATS)
        inside = faults()
        kept = resident()
    # Ten tensors' pages outside; inside one or two, where a small block splits the freed one.
    assert outside > 300
    assert inside < 0.3 * outside
    assert kept - resident() > 0.9 * BYTES
