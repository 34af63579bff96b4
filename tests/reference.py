"""The paper's step, line by line in plain PyTorch: what the Pyro path must agree with.

Nothing here imports the package. Sums, not means, everywhere: the released code sets
``sizeAverage = false``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def encoder(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    for block in range(3):
        x = F.conv2d(
            x,
            p[f"guide.encoder.convolutions.{block}.weight"],
            p[f"guide.encoder.convolutions.{block}.bias"],
        )
        x = F.relu(F.max_pool2d(x, 2))
    x = x.flatten(1)
    loc = F.linear(x, p["guide.loc.weight"], p["guide.loc.bias"])
    log_variance = F.linear(x, p["guide.log_variance.weight"], p["guide.log_variance.bias"])
    return loc, log_variance


def decoder(p: dict[str, Tensor], z: Tensor, maps: int, first: int) -> Tensor:
    x = F.relu(F.linear(z, p["model.decoder.linear.weight"], p["model.decoder.linear.bias"]))
    x = x.view(-1, maps, first, first)
    for block in range(4):
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.conv2d(
            x,
            p[f"model.decoder.blocks.{block}.weight"],
            p[f"model.decoder.blocks.{block}.bias"],
        )
        x = torch.sigmoid(x) if block == 3 else F.relu(x)
    return x


def step(
    p: dict[str, Tensor],
    x: Tensor,
    noise: Tensor,
    active: slice,
    *,
    maps: int,
    first: int,
    strength: float,
    to: str,
) -> tuple[float, dict[str, Tensor]]:
    """Negative ELBO and the gradient of every parameter, with the clamp's gradients by hand."""
    loc, log_variance = encoder(p, x)
    scale = (log_variance / 2).exp()

    def held(v: Tensor) -> Tensor:
        value = v.mean(0, keepdim=True) if to == "mean" else v[:1]
        out = value.expand_as(v).clone()
        out[:, active] = v[:, active]
        return out.detach().requires_grad_()

    clamped_loc, clamped_scale = held(loc), held(scale)
    z = clamped_loc + clamped_scale * noise
    y = decoder(p, z, maps, first)
    reconstruction = F.binary_cross_entropy(y, x, reduction="sum")
    # log q(z) - log p(z) of the draw; the constants of both normals cancel
    kl = (0.5 * z**2 - clamped_scale.log() - 0.5 * noise**2).sum()
    # Trace_ELBO differentiates log q through z and through its parameters alike
    log_q = (-clamped_scale.log() - 0.5 * ((z - clamped_loc) / clamped_scale) ** 2).sum()
    log_p = (-0.5 * z**2).sum()
    loss = reconstruction + log_q - log_p
    decoder_parameters = [v for k, v in p.items() if k.startswith("model.")]
    encoder_parameters = [v for k, v in p.items() if k.startswith("guide.")]
    *decoder_gradients, g_loc, g_scale = torch.autograd.grad(
        loss, [*decoder_parameters, clamped_loc, clamped_scale]
    )

    def replaced(gradient: Tensor, v: Tensor) -> Tensor:
        pull = strength * (v - v.mean(0, keepdim=True)).detach()
        pull[:, active] = gradient[:, active]
        return pull

    encoder_gradients = torch.autograd.grad(
        [loc, scale], encoder_parameters, [replaced(g_loc, loc), replaced(g_scale, scale)]
    )
    names = [k for k in p if k.startswith("model.")] + [k for k in p if k.startswith("guide.")]
    gradients = dict(zip(names, [*decoder_gradients, *encoder_gradients], strict=True))
    return (reconstruction + kl).item(), gradients


class ReleasedRmsprop:
    """rmsprop.lua: momentumDecay b1 = 0.1, updateDecay b2 = 0.01, both bias-corrected."""

    def __init__(self, x: Tensor, lr: float) -> None:
        self.x, self.lr, self.t = x, lr, 0
        self.m, self.v = torch.zeros_like(x), torch.zeros_like(x)

    def step(self, g: Tensor) -> None:
        b1, b2 = 0.1, 0.01
        self.t += 1
        self.m = self.m * (1 - b1) + b1 * g
        self.v = self.v * (1 - b2) + b2 * g * g
        gamma = (1 - (1 - b2) ** self.t) ** 0.5 / (1 - (1 - b1) ** self.t)
        self.x -= self.lr * gamma * self.m / (self.v + 1e-8).sqrt()
