"""Laws of the kept heap: a block that was freed costs no new pages, and only inside."""

import resource
import sys

import pytest
import torch

from pyro_dcign.heap import kept_heap


def faults() -> int:
    """Pages that the kernel has handed out to fifty tensors of 16 MB, one after another."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        torch.ones(2**22)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_used_again_inside_and_given_back_after() -> None:
    outside = faults()
    with kept_heap():
        torch.ones(2**22)
        inside = faults()
    after = faults()
    # A tensor of 16 MB is 4096 pages, or 8 huge ones; fifty are at least 400.
    assert inside < 100 < outside
    assert after > 100
