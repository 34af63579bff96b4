"""A law of long runs: what trains for a day holds at its end what it held at its start."""

import dataclasses
import gc
import os
import resource
from pathlib import Path

from tiny import TINY

from pyro_dcign.run import build
from pyro_dcign.train import Trainer

STEPS = int(os.environ.get("DCIGN_SOAK", "1500"))
"""Steps of the soak; the long version takes a million."""


def held() -> tuple[int, int]:
    """Bytes of this process in memory, and its open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize(), len(list(Path("/proc/self/fd").iterdir()))


def test_memory_and_open_files_stay_flat_over_a_long_run(store, tmp_path) -> None:
    every = max(100, STEPS // 1000)
    config = dataclasses.replace(
        TINY, steps=STEPS, evaluate_every=every, checkpoint_every=every, learning_rate=1e-4
    )
    trainer = Trainer(build(tmp_path, config, store.factors), store)
    start, objects = (0, 0), 0
    for record in trainer.records():
        if record.step == STEPS // 3 // 10 * 10:  # caches are full, generators are running
            gc.collect()
            start, objects = held(), len(gc.get_objects())
        elif start[0] and record.step % (STEPS // 10) == 0:
            assert held()[0] < 1.01 * start[0], record.step
    gc.collect()
    memory, files = held()
    assert memory < 1.01 * start[0]
    assert files <= start[1]
    assert len(gc.get_objects()) < objects + 1000
