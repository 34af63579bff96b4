"""Prints the relative error of each kernel from the plain path; needs TRITON_INTERPRET=1."""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import torch.nn.functional as F

from pyro_dcign.code import FactorRange
from pyro_dcign.config import Config
from pyro_dcign.model import clamp as clamp_module
from pyro_dcign.model import diagonal, fused, networks, residual
from pyro_dcign.model.clamp import clamp
from pyro_dcign.model.handlers import handler_of
from pyro_dcign.model.kernels.densities import bernoulli_log_prob, normal_log_prob
from pyro_dcign.model.kernels.draw import draw
from pyro_dcign.model.kernels.first import first
from pyro_dcign.model.kernels.fold import fold
from pyro_dcign.model.kernels.pool import pool
from pyro_dcign.model.kernels.pull import clamp_both
from pyro_dcign.model.kernels.shuffle import shuffle
from pyro_dcign.model.networks import UnpoolConv2d
from pyro_dcign.runs.run import build
from pyro_dcign.scenes import rasterizer
from pyro_dcign.scenes import render as shading
from pyro_dcign.scenes.chairs import Chairs
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.scenes.kernels import zbuffer
from pyro_dcign.scenes.people import People
from pyro_dcign.training import svi

ERRORS = {}
FACTORS = {name: FactorRange(-80, 80) for name in ("azimuth", "light")}


def error(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))


def against(name, ours, plain, *inputs):
    """Largest error of the value and of each gradient, relative to that tensor's largest entry."""
    held = [x.detach().requires_grad_() for x in inputs]
    wanted, found = plain(*held), ours(*held)
    up = torch.randn_like(wanted)
    pairs = [(found.detach(), wanted.detach())]
    pairs += zip(
        torch.autograd.grad(found, held, up), torch.autograd.grad(wanted, held, up), strict=True
    )
    ERRORS[name] = max(error(a, b) for a, b in pairs)


def layers():
    for name, maps, size in (("", 6, 10), ("_grey", 1, 10), ("_cropped", 8, 9)):
        layer = UnpoolConv2d(5, maps, 7).to(memory_format=torch.channels_last)

        def ours(x, w, b, size=size, relu=maps > 1):
            y = F.conv2d(x, fold(w, torch.float32))
            return shuffle(y, b, size=size, relu=relu, dtype=torch.float32)

        def plain(x, w, b, size=size, relu=maps > 1):
            y = F.conv2d(F.interpolate(x, scale_factor=2), w, b)[..., :size, :size]
            return F.relu(y) if relu else y

        against(f"unpool{name}", ours, plain, torch.randn(2, 5, 8, 8), layer.weight, layer.bias)

    def pooled(y, b):
        return F.relu(F.max_pool2d(y + b[:, None, None], 2))

    against("pool", pool, pooled, torch.randn(2, 32, 8, 8), torch.randn(32))
    against("pool_odd", pool, pooled, torch.randn(2, 5, 9, 9), torch.randn(5))
    x = torch.rand(3, 1, 19, 19)
    against(
        "first",
        lambda w, b: first(x, w, b, torch.float32),
        lambda w, b: pooled(F.conv2d(x, w), b),
        torch.randn(40, 1, 5, 5),
        torch.randn(40),
    )


def densities():
    def plain(z, loc, scale):
        return torch.distributions.Normal(loc, scale).log_prob(z).sum(-1)

    z, loc, scale = torch.randn(3, 7), torch.randn(3, 7), torch.rand(3, 7) + 0.1
    against("normal", normal_log_prob, plain, z, loc, scale)
    zero, one = (torch.full((), float(v)).expand(3, 7) for v in (0, 1))
    against(
        "normal_prior", lambda z: normal_log_prob(z, zero, one), lambda z: plain(z, zero, one), z
    )
    x = torch.rand(3, 1, 50, 50)

    def entropy(y):
        return -F.binary_cross_entropy_with_logits(y, x, reduction="none").flatten(1).sum(1)

    against("bernoulli", lambda y: bernoulli_log_prob(y, x), entropy, torch.randn(3, 1, 50, 50) * 5)
    # A column of a matrix, as a step gives it.
    column = torch.tensor([[True, False], [False, True]])[:, :1].expand(-1, 7)
    mixed = torch.tensor([[True] * 3 + [False] * 4, [False] * 3 + [True] * 4])
    for kind, active in (("", column), ("_mixed", mixed)):
        for to in ("mean", "first"):

            def ours(both, to=to, active=active):
                first = to == "first"
                held = clamp_both(both[:, :7], both[:, 7:], active, strength=0.01, first=first)
                return torch.cat(held, 1)

            def held(both, to=to, active=active):
                mask = torch.cat((active, active), 1).unsqueeze(1)
                return clamp(both.unflatten(0, (2, 3)), mask, to=to).flatten(0, 1)

            against(f"clamp_{to}{kind}", ours, held, torch.randn(6, 14))

    def drawn(function):
        return lambda m, s: torch.cat([x.flatten() for x in function(m, s, z)])

    against("draw", drawn(draw), drawn(diagonal.draw), loc, scale)


def triangles(count, images, side):
    corners = torch.rand(3, 3 * count, images) * 1.6 * side - 0.3 * side
    corners[2] = torch.rand(3 * count, images) + 0.5
    return corners, torch.randperm(3 * count).view(-1, 3)


def hits():
    """Share of samples at which the two z-buffers differ."""
    for name, side, images, cull in (
        ("", 37, 3, False),
        ("_culled", 70, 2, True),
        ("_one", 5, 1, False),
    ):
        screen, corners = triangles(19, images, side)
        screen[:2, :27] = screen[:2, :27] * 0.2 + 0.3 * side  # small ones too
        found = zbuffer.nearest(screen, corners, side=side, cull=cull, edge=rasterizer._EDGE)
        wanted = rasterizer.nearest(screen, corners, side=side, cull=cull)
        seen = (wanted >> 32) > 0
        ERRORS[f"nearest{name}"] = float((found != wanted * seen).float().mean())


def pictures():
    """Share of pixels that differ by more than a grey level."""
    people = torch.arange(3)
    angles = {"azimuth": [0.0, 50, -70], "elevation": [10.0, -20, 0], "light": [-60.0, 0, 40]}
    framing = {"shift_x": [0.1, -0.1, 0], "shift_y": [0, 0.1, -0.1], "size": [1.0, 0.8, 1.15]}
    factors = {name: torch.tensor(values) for name, values in {**angles, **framing}.items()}
    fused_scenes = {"heads": Heads(), "chairs": Chairs(), "dark": Heads(shadows=False),
                    "people": People()}  # fmt: skip
    for name, scene in fused_scenes.items():
        both = []
        for kernels in (False, True):
            shading.usable = lambda x, kernels=kernels: kernels
            both.append(scene.render(people, factors, side=40).int())
        ERRORS[f"picture_{name}"] = float(((both[0] - both[1]).abs() > 1).float().mean())
        assert both[1].float().std() > 10


def deeper():
    """The residual network; a channel count whose phases are padded, odd sides, no scale."""
    for name, side, maps in (("", 33, (3, 4, 6)), ("_even", 16, (4, 6)), ("_padded", 22, (4, 3))):
        networks_of = {
            "encoder": (residual.ResidualEncoder(side, maps, 8), torch.rand(2, 1, side, side)),
            "decoder": (residual.ResidualDecoder(5, side, maps[::-1], 8), torch.randn(2, 5)),
        }
        for kind, (network, x) in networks_of.items():
            network.to(memory_format=torch.channels_last)
            with torch.no_grad():  # nothing at zero: biases count
                for p in network.parameters():
                    p.add_(0.1 * torch.randn_like(p))
            both = []
            for kernels in (True, False):
                residual.usable = lambda x, kernels=kernels: kernels
                held = [x.clone().requires_grad_(), *network.parameters()]
                y = network(held[0])
                up = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
                both.append([y.detach(), *torch.autograd.grad(y, held, up)])
            ERRORS[f"residual_{kind}{name}"] = max(map(error, *both))


def step(elbo, kind, kernels):
    for module in (networks, clamp_module, diagonal, fused):
        module.usable = lambda x: kernels
    torch.backends.cuda.matmul.allow_tf32 = True  # the interpreter rounds nothing
    config = Config(
        side=24,
        encoder_maps=(4, 3),
        decoder_maps=(3, 4, 1),
        decoder_kernels=(5, 7),
        latents=7,
        device="cpu",
        handler=kind,
    )
    run = build(Path(tempfile.gettempdir()), config, FACTORS)
    images = torch.rand(6, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    active = torch.stack([run.code.active("azimuth"), run.code.active("intrinsic")])
    typed = svi.TypedSVI(
        run.model,
        run.guide,
        svi.adam(run.modules.parameters()),
        elbo=svi.load_elbo(elbo),
        handler=handler_of(config, run.code),
    )
    torch.manual_seed(1)
    losses = typed.gradients(images, active)
    return [sum(losses), *(p.grad for p in run.modules.parameters())]


def steps():
    for short, elbo in (("trace", "Trace_ELBO"), ("mean_field", "TraceMeanField_ELBO")):
        for kind in ("mean", "first", "exchange", "none"):
            pairs = zip(step(elbo, kind, True), step(elbo, kind, False), strict=True)
            ERRORS[f"step_{short}_{kind}"] = max(error(a, b) for a, b in pairs)


torch.manual_seed(0)
layers()
densities()
hits()
pictures()
deeper()
steps()
sys.stdout.write(json.dumps(ERRORS))
