"""Loss curves in bfloat16 and in single precision over seeds; one JSON object.

python benchmarks/precision.py --preset paper --steps 4000     # on the GPU, on heads
python benchmarks/precision.py --preset small --device cpu --data data/faces-64 --seeds 0,1
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from stores import training_store

from pyro_dcign.config import PRESETS
from pyro_dcign.runs import build
from pyro_dcign.training import Trainer

PRECISIONS = ("bf16", "float32")


def curve(config, store):
    """The test ELBO of an image, at each evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        run = build(Path(folder), config, store.factors)
        records = Trainer(run, store).records()
        return {record.step: record.test["elbo"] for record in records if record.test}


def verdict(curves):
    """Means, ranges and whether the precisions' ranges over seeds meet, at each evaluation."""
    rows = {}
    for step in curves[PRECISIONS[0]][0]:
        values = {p: [each[step] for each in curves[p]] for p in PRECISIONS}
        low, high = ([f(v) for v in values.values()] for f in (min, max))
        rows[step] = {
            **{p: [statistics.mean(v), min(v), max(v)] for p, v in values.items()},
            "ranges_meet": max(low) <= min(high),
        }
    return rows


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper", choices=list(PRESETS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data", type=Path, help="A store; by default heads are rendered.")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minibatches", type=int, default=1)
    options = parser.parse_args(words)
    config = dataclasses.replace(
        PRESETS[options.preset],
        device=options.device,
        steps=options.steps,
        minibatches=options.minibatches,
        evaluate_every=max(1, options.steps // 8),
        checkpoint_every=10**8,
    )
    store = training_store(options.data, config.side, options.device)
    config = dataclasses.replace(config, side=store.side)
    curves = {
        precision: [
            curve(dataclasses.replace(config, precision=precision, seed=int(seed)), store)
            for seed in options.seeds.split(",")
        ]
        for precision in PRECISIONS
    }
    rows = verdict(curves)
    print(f"{'step':>8}", *(f"{p:>30}" for p in PRECISIONS), "  ranges over seeds meet")
    for step, row in rows.items():
        cells = ("{:.1f} ({:.1f} to {:.1f})".format(*row[p]) for p in PRECISIONS)
        print(f"{step:>8}", *(f"{text:>30}" for text in cells), f"  {row['ranges_meet']}")
    print(json.dumps({"preset": options.preset, "steps": options.steps, "rows": rows}))
    return rows


if __name__ == "__main__":
    main()
