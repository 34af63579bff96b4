"""Fused Triton kernels of the networks, the clamp and the densities, for CUDA.

Each is the plain PyTorch path's function with its gradients in one or two kernels; tests compare
them with it in Triton's interpreter. A module here is imported only where :func:`usable` holds.
"""

import importlib.util
from functools import cache

import torch
from torch import Tensor


@cache
def _triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _recent(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def usable(x: Tensor) -> bool:
    """Whether the kernels take such a tensor.

    That is one with elements, of single precision or less, on a GPU from Ampere on, with Triton.
    """
    if not x.is_cuda or x.dtype == torch.float64 or x.numel() == 0:
        return False
    return _triton() and _recent(x.device)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The precision in which convolutions of a tensor run, which autocast lowers."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
