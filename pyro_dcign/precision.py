"""How a GPU multiplies float32 tensors, for as long as a block asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


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
