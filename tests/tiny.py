"""A tiny network and how to train it, for the tests that need a run."""

import os
from pathlib import Path

from pyro_dcign.config import Config
from pyro_dcign.datasets.store import Store
from pyro_dcign.runs.run import Run, build
from pyro_dcign.training.train import Trainer

HERE = Path(__file__).parent
TINY = Config(
    side=16,
    encoder_maps=(6, 6),
    encoder_kernel=3,
    decoder_maps=(6, 6, 1),
    decoder_kernels=(3, 5),
    latents=6,
    learning_rate=5e-3,
    steps=40,
    evaluate_every=20,
    checkpoint_every=20,
    device="cpu",
    precision="float32",
)

SETTINGS = {
    "preset": "small",
    "side": 16,
    "hidden": 8,
    "encoder_kernel": 3,
    "encoder_maps": [4, 4],
    "decoder_maps": [4, 4, 1],
    "decoder_kernels": [3, 5],
    "latents": 6,
    "device": "cpu",
    "precision": "float32",
    "start": "random",
}
"""A config file's network as small, for the tests that start processes."""


def environment() -> dict[str, str]:
    """Where a process finds the package and the tests, with one thread."""
    path = os.pathsep.join([str(HERE.parent), str(HERE)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def trained(folder: Path, store: Store, config: Config = TINY, *, resume: bool = False) -> Run:
    folder.mkdir(exist_ok=True)
    run = build(folder, config, store.factors)
    for _ in Trainer(run, store, resume=resume).records():
        pass
    return run
