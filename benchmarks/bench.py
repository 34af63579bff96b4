"""Time a training step beside plain Pyro, plain PyTorch and PyTorch with our tricks.

    python benchmarks/bench.py --preset paper --minibatches 1,16
    python benchmarks/bench.py --config benchmarks/residual-150.toml --minibatches 8

pythae and disent join them where they are installed (the extra ``peers``). All get the same network
and images of noise, and take the paper's step (clamp to the mean, Bernoulli, Adam); those two know
no clamp. Ratios come first: how many times ours a rival takes.
"""

import argparse
import dataclasses
import gc
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from peers import PEERS, installed_peers
from ratios import draw_ratios
from rivals import Tricks, plain_pyro, plain_pytorch

from pyro_dcign.code import FactorRange
from pyro_dcign.config import CHOICES, Config, configure, read_settings
from pyro_dcign.datasets import MINIBATCH
from pyro_dcign.machine import device_of, kept_heap, precision_of, tf32_matmul
from pyro_dcign.runs import Run, build
from pyro_dcign.training import typed_svi
from pyro_dcign.training.feed import Draws, Feed
from pyro_dcign.training.steps import CapturedSteps, PlainSteps, Steps

FACTORS = {name: FactorRange(-80, 80) for name in ("azimuth", "elevation", "light")}
OURS = "ours"
RIVALS = ("plain Pyro", "plain PyTorch", "PyTorch with our tricks", OURS)
EXACT = "plain Pyro without TF32"
"""Plain Pyro in the float32 that its tensors say. PyTorch lets a GPU's convolutions round to TF32
unless it is told not to, so this is a rival on GPUs alone."""
COMPILED = "plain PyTorch, compiled"
"""Plain PyTorch under ``torch.compile``, where it was made for: on GPUs."""
BLOCK = 20
"""Steps between two readings of the clock, where one call takes several."""


class NoiseFeed(Feed):
    """Pictures of noise in the device's memory, drawn as a data set's would be."""

    def __init__(self, run: Run, *, rows: int = 64, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(seed)
        shape = (rows, MINIBATCH, run.config.side, run.config.side)
        self.code = run.code
        self.pixels = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8).to(run.device)
        self.generator = draw

    def draw(self, steps: int, minibatches: int) -> Draws:
        """Any rows and types."""
        factors, device = len(self.code.factors), self.pixels.device
        shape = (steps, minibatches)
        rows = torch.randint(len(self.pixels), shape, generator=self.generator)
        types = torch.randint(factors, shape, generator=self.generator)
        return Draws(rows.to(device), torch.nn.functional.one_hot(types, factors).bool().to(device))


class Timing(NamedTuple):
    """How long a step took.

    Attributes:
        ms: Median over the readings.
        peak_mb: Most memory of a GPU that was in use, in 10⁶ bytes.
    """

    ms: float
    peak_mb: float | None


def papers_step(config: Config) -> Config:
    """The step that rivals take on a network: the paper's clamp, likelihood and optimiser."""
    paper = Config()
    names = ("likelihood", "handler", "strength", "agreement", "optimizer", "kl_weight")
    return dataclasses.replace(config, **{name: getattr(paper, name) for name in names})


def rivals_on(device: torch.device) -> tuple[str, ...]:
    """Everything that is measured on such a device, ours last."""
    exact, compiled = ((EXACT,), (COMPILED,)) if device.type == "cuda" else ((), ())
    return (*exact, *RIVALS[:2], *compiled, *installed_peers(), *RIVALS[2:])


def steps_of(svi: Any, feed: Feed, minibatches: int) -> Steps:
    """Captured steps on a GPU, plain ones elsewhere."""
    if feed.pixels.is_cuda:
        return CapturedSteps(svi, feed, block=BLOCK, minibatches=minibatches)
    return PlainSteps(svi, feed)


def taker(name: str, run: Run, feed: Feed, minibatches: int) -> tuple[Callable[[], Any], int]:
    """What takes steps of a rival, and how many in one call."""
    several = max(1, BLOCK // minibatches) if feed.pixels.is_cuda else 1
    if name in RIVALS[2:]:
        svi = (
            typed_svi(run)
            if name == OURS
            else Tricks(run, precision_of(run.config.precision, run.device))
        )
        steps = steps_of(svi, feed, minibatches)
        return (lambda: steps(feed.draw(several, minibatches))), several
    if name in PEERS:
        several = 4 if several == 1 else several  # a pass of theirs is a call with a set-up
        rows = torch.arange(several * minibatches, device=run.device).remainder(len(feed.pixels))
        images = feed.images(rows).cpu()
        return PEERS[name](run, images, minibatches * MINIBATCH), several
    if name in (RIVALS[1], COMPILED):
        step = plain_pytorch(run, compiled=name == COMPILED)
    else:
        step = plain_pyro(run)

    def one() -> None:
        draws = feed.draw(1, minibatches)
        images = feed.images(draws.rows[0])
        with tf32_matmul(images, False) if name == EXACT else nullcontext():
            step(images, draws.active[0])

    return one, 1


def timing(take: Callable[[], Any], several: int, device: torch.device, seconds: float) -> Timing:
    """The median time of a step over about that many seconds, after two calls to warm up."""
    cuda = device.type == "cuda"

    def clock() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    take()
    take()
    readings: list[float] = []
    end = clock() + seconds
    while len(readings) < 3 or clock() < end:
        start = clock()
        take()
        readings.append((clock() - start) * 1000 / several)
    peak = torch.cuda.max_memory_allocated() / 1e6 if cuda else None
    return Timing(statistics.median(readings), peak)


def compare(
    config: Config,
    minibatches: int,
    *,
    seconds: float = 3.0,
    rivals: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Milliseconds of a step of each rival on the same inputs, and how many times ours they take.

    All take the paper's step (:func:`papers_step`), whatever else the configuration trains with.
    The rivals (those of :func:`rivals_on` where none are named) run one after another, each with
    the memory of the one before given back.
    """
    found: dict[str, Any] = {}
    config = papers_step(config)
    for name in rivals_on(device_of(config.device)) if rivals is None else rivals:
        with tempfile.TemporaryDirectory() as folder:
            run = build(Path(folder), config, FACTORS)
        if run.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(0)
        take, several = taker(name, run, NoiseFeed(run), minibatches)
        tricky = name in RIVALS[2:] and run.device.type == "cpu"
        with kept_heap() if tricky else nullcontext():
            ms, peak = timing(take, several, run.device, seconds)
        rate = minibatches * MINIBATCH / ms * 1000
        found[name] = {"ms": ms, "images_per_second": rate, "peak_mb": peak}
        del take, run
    for each in found.values():
        each["times_ours"] = each["ms"] / found[OURS]["ms"] if OURS in found else None
    return {"images": minibatches * MINIBATCH, "minibatches": minibatches, "rivals": found}


def machine(device: torch.device) -> dict[str, Any]:
    """Where a measurement was taken."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The comparisons as lines for a terminal, ratios first."""
    lines = [
        f"{'images a step':>13}  {'÷ ours':>7}  {'ms a step':>10}  {'images/s':>9}  {'MB':>6}  "
    ]
    for result in results:
        for name, found in result["rivals"].items():
            times, peak = found["times_ours"], found["peak_mb"]
            lines.append(
                f"{result['images']:>13}  {'–' if times is None else f'{times:.2f}':>7}  "
                f"{found['ms']:>10.3f}  {found['images_per_second']:>9.0f}  "
                f"{'–' if peak is None else f'{peak:.0f}':>6}  {name}"
            )
    return "\n".join(line.rstrip() for line in lines)


def numbers(text: str) -> list[int]:
    """Numbers of minibatches, as 1,16."""
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"expected numbers such as 1,16, got {text!r}")
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, or with ``--json`` the figures in one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=CHOICES["preset"], help="paper on a GPU, else small.")
    parser.add_argument("--config", type=Path, help="Settings from a TOML file, in place of one.")
    parser.add_argument("--device", choices=CHOICES["device"], default="auto")
    parser.add_argument("--precision", choices=CHOICES["precision"], default="auto")
    parser.add_argument("--minibatches", type=numbers, help="Of each step, of 20 images each.")
    parser.add_argument("--seconds", type=float, default=3.0, help="For each rival.")
    parser.add_argument("--figure", type=Path, help="Draw the ratios into this file.")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    cuda = device_of(options.device).type == "cuda"
    preset = options.preset or ("paper" if cuda else "small")
    held = read_settings(options.config) if options.config else {"preset": preset}
    settings = {**held, "device": options.device, "precision": options.precision}
    config, results = configure(settings), []
    for minibatches in options.minibatches or ([1, 16] if cuda else [1, 4]):
        print(f"measuring steps of {20 * minibatches} images", file=sys.stderr)
        results.append(compare(config, minibatches, seconds=options.seconds))
    found = {**machine(torch.device("cuda" if cuda else "cpu")), **settings, "results": results}
    if options.figure:
        draw_ratios(results, options.figure)
    if options.json:
        print(json.dumps(found))
        return
    where = f"{found['device']}, " + ("" if cuda else f"{found['threads']} threads, ")
    print(f"{options.config or config.preset} network, {where}torch {found['torch']}; medians")
    print(table(results))


if __name__ == "__main__":
    main()
