"""Pictures of a device against a CPU's, and how many it renders a second; one JSON object.

python benchmarks/render_check.py                       # heads at 64 and 150, chairs at 150
python benchmarks/render_check.py --device cpu --minibatches 1 --scenes faces:24
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.plans.plan import Planner, render
from pyro_dcign.scenes import load_scene, rasterizer
from pyro_dcign.scenes import render as shading
from pyro_dcign.varying import standard_types


def pictures(scene, side, varying, indices):
    plan = Planner(scene.factors, seed=0).plan("train", varying, indices)
    return render(scene, plan, side=side).pixels


def differences(name, device, side):
    """How a device's pictures differ from a CPU's, over two minibatches of each type."""
    scenes = [load_scene(name, device=where) for where in ("cpu", device)]
    types = standard_types(scenes[0].factors)
    cpu, other = (
        torch.cat([pictures(scene, side, varying, range(2)).cpu().int() for varying in types])
        for scene in scenes
    )
    gap = (cpu - other).abs()
    return {
        "largest": int(gap.max()),
        "equal": float((gap == 0).float().mean()),
        "beyond_one_level": float((gap > 1).float().mean()),
    }


def rates(name, device, side, minibatches):
    """Images a second of each type of minibatch, the second time round, best of three."""
    scene = load_scene(name, device=device)
    cuda = device == "cuda"
    found = {}
    for varying in standard_types(scene.factors):
        times = []
        for attempt in range(4):  # the first compiles, and draws the blueprints of chairs
            indices = range(attempt * minibatches, (attempt + 1) * minibatches)
            start = time.perf_counter()
            pictures(scene, side, varying, indices)
            if cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        found[varying] = round(20 * minibatches / min(times[1:]))
    each = len(found)
    found["all"] = round(each / sum(1 / rate for rate in found.values()))
    return found


def profile(name, side, minibatches, top=12):
    """The kernels that take most of a call's time, in milliseconds."""
    scene = load_scene(name, device="cuda")
    pictures(scene, side, INTRINSIC, range(minibatches))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
        pictures(scene, side, INTRINSIC, range(minibatches))
        torch.cuda.synchronize()
    events = sorted(found.key_averages(), key=lambda e: -e.device_time_total)
    return {e.key[:60]: [e.device_time_total / 1000, e.count] for e in events[:top]}


def without_kernels(call, *arguments):
    """The same in plain PyTorch."""
    kept = rasterizer.usable, shading.usable
    rasterizer.usable = shading.usable = lambda x: False
    try:
        return call(*arguments)
    finally:
        rasterizer.usable, shading.usable = kept


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--minibatches", type=int, default=64, help="Of 20 images, in one call.")
    parser.add_argument("--scenes", default="faces:64,faces:150,chairs:150")
    options = parser.parse_args(words)
    cuda = options.device == "cuda"
    found = {"device": torch.cuda.get_device_name() if cuda else "cpu"}
    for word in options.scenes.split(","):
        name, side = word.split(":")
        row = {"against_cpu": differences(name, options.device, int(side))}
        arguments = (name, options.device, int(side), options.minibatches)
        row["images_per_second"] = rates(*arguments)
        if cuda:
            row["plain_images_per_second"] = without_kernels(rates, *arguments)
            row["kernels_ms_count"] = profile(name, int(side), options.minibatches)
        found[word] = row
        print(word, json.dumps(row), file=sys.stderr, flush=True)
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
