"""A law of long runs: what trains for a day holds at its end what it held at its start."""

import dataclasses
import gc
import resource
from pathlib import Path

import pytest
from fake_scene import FakeScene, load
from tiny import TINY

from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.runs.run import build
from pyro_dcign.training.train import Trainer

CONFIG = dataclasses.replace(
    TINY,
    encoder_maps=(1,),
    decoder_maps=(1, 1),
    decoder_kernels=(3,),
    latents=4,
    learning_rate=1e-4,
)
"""As small as they come, so that a million steps take an hour."""


def held() -> tuple[int, int]:
    """Bytes of this process in memory, and its open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize(), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own account")
@pytest.mark.parametrize("steps", [2000, pytest.param(10**6, marks=pytest.mark.slow)])
def test_memory_and_open_files_stay_flat_over_a_long_run(steps, tmp_path) -> None:
    number = counts((*FakeScene().factors, "intrinsic"), train=4, intrinsic=8, test=2)
    recipe = Recipe("fake", number, side=16, size=2)
    store = make(tmp_path / "set", recipe, load, workers=1, quiet=True)
    every = max(100, steps // 1000)
    config = dataclasses.replace(CONFIG, steps=steps, evaluate_every=every, checkpoint_every=every)
    trainer = Trainer(build(tmp_path / "run", config, store.factors), store)
    seen: list[tuple[int, int, int]] = []
    for record in trainer.records():
        if record.step % (steps // 10) == 0:
            gc.collect()
            seen.append((*held(), len(gc.get_objects())))
    # the first two tenths fill caches: of the allocator, of Pyro and of the optimiser
    memory, files, objects = seen[1]
    assert len(seen) == 10
    assert max(row[0] for row in seen[1:]) < 1.01 * memory, seen
    assert max(row[1] for row in seen[1:]) <= files, seen
    assert max(row[2] for row in seen[1:]) <= objects + 100, seen
