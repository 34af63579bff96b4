"""What this machine computes with: device, precision, kernels and memory."""

import ctypes
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pyro_dcign.errors import InputError


@contextmanager
def tf32_matmul(tensor: Tensor, wanted: bool) -> Iterator[None]:
    """Multiply a GPU's float32 tensors as asked for here, and as before afterwards."""
    if not tensor.is_cuda:
        yield
        return
    backends: Any = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = wanted
        yield
    finally:
        for backend, old in zip(backends, before, strict=True):
            backend.allow_tf32 = old


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


@cache
def _triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _recent(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def usable(x: Tensor) -> bool:
    """Whether the kernels take such a tensor.

    That is one with elements, of single precision or less, on a GPU from Ampere on, with Triton,
    outside of ``torch.func``'s transforms, which see through the plain path only.
    """
    if not x.is_cuda or x.dtype == torch.float64 or x.numel() == 0:
        return False
    if torch._C._are_functorch_transforms_active():
        return False
    return _triton() and _recent(x.device)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The precision in which convolutions of a tensor run, which autocast lowers."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def device_of(device: str) -> torch.device:
    """The device of that name; ``auto`` is a GPU where there is one.

    Raises:
        InputError: A GPU is asked for and none is there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch finds no GPU here; use --device auto or cpu")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def precision_of(precision: str, device: torch.device) -> torch.dtype:
    """The precision of the convolutions; ``auto`` is bfloat16 where the hardware multiplies it."""
    if precision == "auto":
        native = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else torch.cpu._is_avx512_bf16_supported()
        )
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


@contextmanager
def timed_convolutions() -> Iterator[None]:
    """Let cuDNN time its algorithms for each convolution that it meets, and keep the fastest.

    A process keeps one algorithm for each shape: the first found, timed or guessed. Whatever meets
    a training step's shapes before the step belongs in here as well: guesses took 0.7 ms of an H100
    for a step of the paper's network, which takes 1.7 ms.
    """
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
