"""Everything that only a GPU can show, in under two minutes: run from the repository's root.

A benchmark, captured steps against plain ones, and kernels against float64. A part that fails says
so and the others go on.
"""

import dataclasses
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import torch.nn.functional as F
from bench import FACTORS, OURS, RIVALS, NoiseFeed, compare, table

from pyro_dcign.config import PRESETS
from pyro_dcign.model import UnpoolConv2d
from pyro_dcign.model.clamp import clamp
from pyro_dcign.runs import build
from pyro_dcign.training import typed_svi
from pyro_dcign.training.steps import CapturedSteps, PlainSteps

START = time.perf_counter()


def part(name, function, *arguments):
    print(f"\n== {name} [{time.perf_counter() - START:.0f} s]", flush=True)
    try:
        function(*arguments)
    except Exception:
        print("FAILED", traceback.format_exc()[-800:], flush=True)


def error(found, wanted):
    found, wanted = found.detach(), wanted.detach().double()
    return float((found.double() - wanted).norm() / wanted.norm())


def against(name, ours, plain, inputs, dtype):
    """Relative errors of values and gradients from float64, and those of the plain path."""
    wide = [x.double().detach().requires_grad_() for x in inputs]
    wanted = plain(*wide)
    up = torch.randn_like(wanted)
    slopes = torch.autograd.grad(wanted, wide, up)
    held = [x.detach().clone().requires_grad_() for x in inputs]
    found = ours(*held)
    got = torch.autograd.grad(found, held, up.to(found.dtype))
    cells = [error(found, wanted), *map(error, got, slopes)]
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        theirs = plain(*held)
        base = torch.autograd.grad(theirs, held, up.to(theirs.dtype))
    theirs = [error(theirs, wanted), *map(error, base, slopes)]
    print(f"{name:22}", *(f"{a:.1e}/{b:.1e}" for a, b in zip(cells, theirs, strict=True)))


def kernels():
    from pyro_dcign.model import diagonal
    from pyro_dcign.model.kernels.densities import bernoulli_log_prob, normal_log_prob
    from pyro_dcign.model.kernels.first import first
    from pyro_dcign.model.kernels.fold import fold
    from pyro_dcign.model.kernels.pool import pool
    from pyro_dcign.model.kernels.pull import clamp_both
    from pyro_dcign.model.kernels.shuffle import shuffle

    print("relative error from float64, ours/plain: value, gradients")
    torch.backends.cudnn.allow_tf32 = False
    g = torch.Generator("cuda").manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=g, device="cuda")

    for dtype in (torch.float32, torch.bfloat16):
        short = str(dtype)[6:]
        for size, inputs, maps in ((24, 15, 64), (42, 24, 96), (150, 78, 1)):
            channels = {64: 32, 96: 64, 1: 96}[maps]
            layer = UnpoolConv2d(channels, maps, 7).cuda()
            last = maps == 1

            def ours(x, w, b, size=size, last=last, dtype=dtype):
                x = x.to(dtype, memory_format=torch.channels_last)
                y = F.conv2d(x, fold(w, dtype))
                kind = torch.float32 if last else dtype
                return shuffle(y, b, size=size, relu=not last, dtype=kind)

            def plain(x, w, b, size=size, last=last):
                y = F.conv2d(F.interpolate(x, scale_factor=2), w, b)[..., :size, :size]
                return y if last else F.relu(y)

            tensors = [draw(20, channels, inputs, inputs), layer.weight, layer.bias]
            against(f"unpool {maps} {short}", ours, plain, tensors, dtype)
        x, w, b = draw(20, 96, 73, 73), draw(64, 96, 5, 5) / 49, draw(64)

        def ours(x, w, b, dtype=dtype):
            x, w = (t.to(dtype, memory_format=torch.channels_last) for t in (x, w))
            return pool(F.conv2d(x, w), b)

        def plain(x, w, b):
            return F.relu(F.max_pool2d(F.conv2d(x, w, b), 2))

        against(f"pool {short}", ours, plain, [x, w, b], dtype)
        images = torch.rand(20, 1, 150, 150, generator=g, device="cuda")
        if dtype == torch.bfloat16:
            against(
                "first bfloat16",
                lambda w, b, images=images: first(images, w, b, torch.bfloat16),
                lambda w, b, images=images: plain(images.to(w.dtype), w, b),
                [draw(96, 1, 5, 5) / 5, draw(96)],
                dtype,
            )
    torch.backends.cudnn.allow_tf32 = True
    z, loc, scale = draw(20, 197), draw(20, 197), draw(20, 197).exp()
    against("normal", normal_log_prob, lambda z, m, s: torch.distributions.Normal(m, s).log_prob(z)
            .sum(-1), [z, loc, scale], torch.float32)  # fmt: skip
    images = torch.rand(20, 1, 150, 150, generator=g, device="cuda")
    against(
        "bernoulli",
        lambda y: bernoulli_log_prob(y, images),
        lambda y: (
            -F.binary_cross_entropy_with_logits(y, images.to(y.dtype), reduction="none")
            .flatten(1)
            .sum(1)
        ),
        [draw(20, 1, 150, 150) * 5],
        torch.float32,
    )
    noise = draw(20, 197)

    def drawn(loc, scale):
        return torch.cat([x.flatten() for x in diagonal.draw(loc, scale, noise.to(loc))])

    against("draw", drawn, drawn, [loc, scale], torch.float32)  # float64 takes the plain path
    active = torch.tensor([[True, False], [False, True]], device="cuda")[:, :1].expand(-1, 197)
    for to in ("mean", "first"):
        against(
            f"clamp {to}",
            lambda m, s, to=to: torch.cat(
                clamp_both(m, s, active, strength=0.01, first=to == "first")
            ),
            lambda m, s, to=to: torch.cat(
                [
                    clamp(t.unflatten(0, (2, 10)), active.unsqueeze(1), to=to).flatten(0, 1)
                    for t in (m, s)
                ]
            ),
            [loc, scale],
            torch.float32,
        )


def fresh(preset, **changes):
    config = dataclasses.replace(PRESETS[preset], device="cuda", **changes)
    return build(Path(tempfile.mkdtemp()), config, FACTORS)


def captured():
    for clamp_kind, precisions in (("mean", ("float32", "tf32", "bf16")), ("exchange", ("bf16",))):
        for precision in precisions:
            losses = []
            for captured in (False, True):
                run = fresh("small", precision=precision, handler=clamp_kind)
                feed, svi = NoiseFeed(run), typed_svi(run)
                draws = feed.draw(20, 2)
                torch.manual_seed(5)
                steps = (
                    CapturedSteps(svi, feed, block=20, minibatches=2)
                    if captured
                    else PlainSteps(svi, feed)
                )
                losses.append(steps(draws).double())
            a, b = losses
            worst = ((a - b).abs() / a.abs().clamp_min(1)).amax((1, 2))
            print(clamp_kind, precision, "step 1", f"{worst[0]:.1e}", "20", f"{worst.max():.1e}",
                  "loss", a[-1, 0].mean().item())  # fmt: skip


def bench():
    ours = (RIVALS[2], OURS)
    rows = []
    for preset, minibatches, rivals in (
        ("paper", 1, None),
        ("paper", 16, (RIVALS[1], *ours)),
        ("paper", 64, ours),
        ("small", 1, None),
        ("small", 64, ours),
    ):
        config = dataclasses.replace(PRESETS[preset], device="cuda")
        rows.append(compare(config, minibatches, seconds=0.5, rivals=rivals))
        print(preset, *table(rows[-1:]).splitlines()[1:], sep="\n", flush=True)
    config = dataclasses.replace(PRESETS["paper"], device="cuda", precision="tf32")
    print("paper tf32", table([compare(config, 16, seconds=0.5, rivals=(OURS,))]), sep="\n")


if __name__ == "__main__":
    print(torch.__version__, torch.cuda.get_device_name())
    part("bench", bench)  # first: a convolution keeps the algorithm that is chosen for it first
    part("captured = plain", captured)
    part("kernels", kernels)
    print(f"{time.perf_counter() - START:.0f} s")
