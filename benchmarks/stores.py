"""What the benchmarks train on: a store that is given, or heads rendered for the occasion."""

import tempfile
from pathlib import Path

from pyro_dcign.datasets import Store, ensure_faces


def training_store(data, side, device):
    if data:
        return Store.open(data)
    return ensure_faces(Path(tempfile.mkdtemp()) / "faces", side=side, device=device)
