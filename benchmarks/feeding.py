"""How long the device waits between blocks of steps while a run trains; one JSON object.

python benchmarks/feeding.py                               # paper, one and 16 minibatches
python benchmarks/feeding.py --preset small --device cpu --data data/faces-64 --steps 60
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from stores import training_store

from pyro_dcign.config import PRESETS
from pyro_dcign.runs import build
from pyro_dcign.training import Trainer


class Watched:
    """Steps whose calls are timed by the device's clock, or by the host's where there is none."""

    def __init__(self, steps, cuda):
        self.steps, self.cuda, self.calls = steps, cuda, []

    def _now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def __call__(self, draws):
        start = self._now()
        history = self.steps(draws)
        self.calls.append((start, self._now()))
        return history

    def seconds(self):
        """Seconds in calls, and from the first call's start to the last one's end."""
        if not self.cuda:
            busy = sum(b - a for a, b in self.calls)
            return busy, self.calls[-1][1] - self.calls[0][0]
        torch.cuda.synchronize()
        busy = sum(a.elapsed_time(b) for a, b in self.calls)
        return busy / 1000, self.calls[0][0].elapsed_time(self.calls[-1][1]) / 1000


def waiting(config, store):
    """Share of a run's time in which no step ran, its evaluations and checkpoints left out."""
    with tempfile.TemporaryDirectory() as folder:
        run = build(Path(folder), config, store.factors)
        trainer = Trainer(run, store)
        records = trainer.records()
        next(records)  # captures
        trainer.steps = watched = Watched(trainer.steps, run.device.type == "cuda")
        for _ in range((config.steps - trainer.step) // trainer.block - 1):
            next(records)
        busy, total = watched.seconds()
        steps = len(watched.calls) * trainer.block
    return {"waiting": 1 - busy / total, "ms_a_step": 1000 * total / steps, "steps": steps}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper", choices=list(PRESETS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data", type=Path, help="A store; by default heads are rendered.")
    parser.add_argument("--minibatches", default="1,16")
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args(words)
    config = dataclasses.replace(
        PRESETS[options.preset],
        device=options.device,
        steps=options.steps,
        evaluate_every=10**8,
        checkpoint_every=10**8,
    )
    store = training_store(options.data, config.side, options.device)
    config = dataclasses.replace(config, side=store.side)
    found = {
        int(n): waiting(dataclasses.replace(config, minibatches=int(n)), store)
        for n in options.minibatches.split(",")
    }
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
