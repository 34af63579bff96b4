"""A tiny network and how to train it, for the tests that need a run."""

from pathlib import Path

from pyro_dcign.config import Config
from pyro_dcign.datasets.store import Store
from pyro_dcign.run import Run, build
from pyro_dcign.train import Trainer

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


def trained(folder: Path, store: Store, config: Config = TINY, *, resume: bool = False) -> Run:
    folder.mkdir(exist_ok=True)
    run = build(folder, config, store.factors)
    for _ in Trainer(run, store, resume=resume).records():
        pass
    return run
