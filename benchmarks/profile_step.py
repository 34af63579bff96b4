"""Kernel by kernel, what one training step of ours launches and what the same step without Pyro.

python benchmarks/profile_step.py                          # paper, 20 images, on the GPU
python benchmarks/profile_step.py --preset small --minibatches 16
python benchmarks/profile_step.py --device cpu             # counts operations instead
"""

import argparse
import collections
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from bench import OURS, RIVALS, NoiseFeed, papers_step, steps_of
from rivals import Tricks
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_dcign.code import FactorRange
from pyro_dcign.config import PRESETS
from pyro_dcign.machine import precision_of
from pyro_dcign.runs import build
from pyro_dcign.training import typed_svi

FACTORS = {name: FactorRange(-80, 80) for name in ("azimuth", "elevation", "light")}
NAMES = (OURS, RIVALS[2])
STEPS = 5


class Count(TorchDispatchMode):
    """Counts what reaches a device; views and the making of empty tensors do not."""

    free = ("view", "expand", "detach", "empty", "slice", "select", "transpose", "permute")
    free += (
        "new_empty",
        "lift_fresh",
        "profiler",
        "split",
        "unsqueeze",
        "squeeze",
        "alias",
        "unbind",
        "t.default",
        "_unsafe_view",
    )

    def __init__(self):
        super().__init__()
        self.found = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function).removeprefix("aten.")
        if not name.startswith(self.free):
            self.found[name] += 1
        return function(*args, **kwargs or {})


def prepared(name, config, minibatches):
    with tempfile.TemporaryDirectory() as folder:
        run = build(Path(folder), config, FACTORS)
    precision = precision_of(config.precision, run.device)
    svi = typed_svi(run) if name == OURS else Tricks(run, precision)
    feed = NoiseFeed(run)
    steps = steps_of(svi, feed, minibatches)
    steps(feed.draw(2, minibatches))
    return steps, feed


def on_gpu(steps, feed, minibatches):
    """Milliseconds and launches of each kernel in a step, and the step's time on the clock."""
    draws = feed.draw(STEPS, minibatches)
    steps(draws)
    torch.cuda.synchronize()
    start = time.perf_counter()
    steps(draws)
    torch.cuda.synchronize()
    clock = (time.perf_counter() - start) * 1000 / STEPS
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
        steps(draws)
        torch.cuda.synchronize()
    rows = {
        e.key: (e.device_time_total / 1000 / STEPS, e.count / STEPS)
        for e in found.key_averages()
        if e.device_time_total
    }
    return rows, clock


def on_cpu(steps, feed, minibatches):
    """Operations of a step; their time is not taken apart."""
    draws = feed.draw(1, minibatches)
    with Count() as count:
        steps(draws)
    start = time.process_time()
    steps(draws)
    return {k: (0.0, n) for k, n in count.found.items()}, (time.process_time() - start) * 1000


def table(found, top):
    """Ours and the rival side by side, by the larger time."""
    ours, rival = (found[name]["rows"] for name in NAMES)
    none = (0.0, 0)
    keys = {k: max(ours.get(k, none), rival.get(k, none)) for k in {**ours, **rival}}
    lines = [f"{'ours ms':>9} {'×':>6} {'rival ms':>9} {'×':>6}  kernel"]
    for key in sorted(keys, key=keys.get, reverse=True)[:top]:
        (a, m), (b, n) = ours.get(key, none), rival.get(key, none)
        lines.append(f"{a:9.4f} {m:6.1f} {b:9.4f} {n:6.1f}  {key[:110]}")
    for name in NAMES:
        rows, clock = found[name]["rows"], found[name]["clock_ms"]
        busy, count = (sum(row[k] for row in rows.values()) for k in (0, 1))
        lines.append(f"{name}: {busy:.3f} ms busy, {clock:.3f} ms on the clock, {count:.0f} calls")
    return "\n".join(lines)


def main(words=None, config=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper", choices=list(PRESETS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--minibatches", type=int, default=1)
    parser.add_argument("--top", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    config = config or papers_step(PRESETS[options.preset])
    config = dataclasses.replace(config, device=options.device)
    found = {}
    for name in NAMES:
        steps, feed = prepared(name, config, options.minibatches)
        measure = on_gpu if options.device == "cuda" else on_cpu
        rows, clock = measure(steps, feed, options.minibatches)
        found[name] = {"rows": rows, "clock_ms": clock}
        del steps, feed
    print(json.dumps(found) if options.json else table(found, options.top))
    return found


if __name__ == "__main__":
    main()
