"""Images a second of torchrun's processes, one to N, with the same minibatches each; JSON.

python benchmarks/several_gpus.py                          # 1 and 2 GPUs, 16 minibatches each
python benchmarks/several_gpus.py --device cpu --data data/faces-64 --preset small --steps 60
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from stores import training_store

from pyro_dcign.config import PRESETS

HERE = Path(__file__).parent.parent


def rate(folder, processes, options, data):
    """Images a second, from the times in the run's records; the first block captures."""
    out = folder / str(processes)
    minibatches = processes * options.minibatches
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    line += ["--nproc-per-node", str(processes), "-m", "pyro_dcign", "fit", "--no-report"]
    line += ["--preset", options.preset, "--data", str(data), "--out", str(out)]
    line += ["--minibatches", str(minibatches), "--steps", str(options.steps)]
    line += ["--evaluate-every", "100000000", "--checkpoint-every", "100000000"]
    line += ["--device", options.device]
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    subprocess.run(line, check=True, env={**os.environ, "PYTHONPATH": path})
    records = [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()]
    first, last = records[0], records[-2]  # the very last one evaluates
    seconds = last["seconds"] - first["seconds"]
    return 20 * minibatches * (last["step"] - first["step"]) / seconds


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="paper", choices=list(PRESETS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data", type=Path, help="A store; by default heads are rendered.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minibatches", type=int, default=16, help="Of each process and step.")
    parser.add_argument("--steps", type=int, default=1600)
    options = parser.parse_args(words)
    folder = Path(tempfile.mkdtemp())
    data = training_store(options.data, PRESETS[options.preset].side, options.device).folder
    found = {n: rate(folder, n, options, data) for n in (1, options.processes)}
    ratio = found[options.processes] / found[1]
    print(json.dumps({"images_per_second": found, "ratio": ratio}))
    return ratio


if __name__ == "__main__":
    main()
