"""How a step's cost grows: the paper's network at image sides and minibatches; one JSON object.

python benchmarks/sweep.py                  # sides 64, 150, 300, 512; 20 to 5,120 images a step
python benchmarks/sweep.py --device cpu --sides 32 --minibatches 1,2 --seconds 0.01
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from bench import OURS, compare, machine

from pyro_dcign.config import PRESETS


def numbers(text):
    return [int(word) for word in text.split(",")]


def cell(config, minibatches, seconds):
    """Milliseconds, images a second and memory of a step; None where the memory is too small."""
    try:
        found = compare(config, minibatches, seconds=seconds, rivals=(OURS,))["rivals"][OURS]
    except torch.OutOfMemoryError:
        return None
    finally:
        if config.device == "cuda":
            torch.cuda.empty_cache()
    return {key: found[key] for key in ("ms", "images_per_second", "peak_mb")}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--sides", type=numbers, default=[64, 150, 300, 512])
    parser.add_argument("--minibatches", type=numbers, default=[1, 4, 16, 64, 256])
    parser.add_argument("--seconds", type=float, default=1.0, help="For each cell.")
    options = parser.parse_args(words)
    found = {**machine(torch.device(options.device)), "sides": {}}
    print("ms a step (images a second)", *(f"{20 * n:>16}" for n in options.minibatches))
    for side in options.sides:
        config = dataclasses.replace(PRESETS["paper"], side=side, device=options.device)
        row, enough = {}, True
        for n in options.minibatches:
            # What does not fit will not fit four times as large.
            row[20 * n] = cell(config, n, options.seconds) if enough else None
            enough = row[20 * n] is not None
        found["sides"][side] = row
        cells = (
            f"{c['ms']:8.2f} ({c['images_per_second']:.0f})" if c else "–" for c in row.values()
        )
        print(f"{side:>27}", *(f"{text:>16}" for text in cells), flush=True)
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
