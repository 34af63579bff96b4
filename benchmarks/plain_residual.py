"""The residual network as a user writes it: every layer a module, nothing folded or fused."""

import itertools
import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from pyro_dcign.config import Config


class PlainBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; ``hidden`` scales and shifts the inner maps."""

    def __init__(self, maps: int, hidden: int = 0) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(maps, maps, 3, padding=1) for _ in range(2))
        self.style = nn.Linear(hidden, 2 * maps) if hidden else None

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Maps of the same shape."""
        y = self.first(F.relu(x))
        if self.style is not None and h is not None:
            scale, shift = self.style(h)[..., None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        out: Tensor = x + self.second(F.relu(y))
        return out


class PlainResidualEncoder(nn.Module):
    """Images to features."""

    def __init__(self, side: int, maps: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, maps[0], 3, padding=1)
        pairs = list(itertools.pairwise(maps))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.blocks = nn.ModuleList(PlainBlock(m) for m in maps[1:])
        size = math.ceil(side / 2)
        for _ in maps[1:]:
            size = math.ceil(size / 2)
        self.linear = nn.Linear(maps[-1] * size**2, hidden)
        self.residual = nn.Linear(hidden, hidden)

    def forward(self, images: Tensor) -> Tensor:
        """Features of each image."""
        odd = images.shape[-1] % 2
        x = self.first(F.pixel_unshuffle(F.pad(images, (0, odd, 0, odd)), 2))
        for down, block in zip(self.down, self.blocks, strict=True):
            x = block(down(F.relu(x)))
        x = F.relu(self.linear(F.relu(x).flatten(1)))
        return F.relu(x + self.residual(F.relu(x)))


class PlainResidualDecoder(nn.Module):
    """Latents to image logits."""

    def __init__(self, latents: int, side: int, maps: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.side = side
        sizes = [math.ceil(side / 2)]
        for _ in maps[1:]:
            sizes.append(math.ceil(sizes[-1] / 2))
        self.sizes, self.maps = sizes[::-1], maps[0]
        self.hidden, self.residual = nn.Linear(latents, hidden), nn.Linear(hidden, hidden)
        self.linear = nn.Linear(hidden, maps[0] * self.sizes[0] ** 2)
        pairs = list(itertools.pairwise(maps))
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.blocks = nn.ModuleList(PlainBlock(m, hidden) for m in maps[1:])
        self.last = nn.Conv2d(maps[-1], 4, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Logits of the images."""
        h = F.relu(self.hidden(z))
        h = F.relu(h + self.residual(F.relu(h)))
        x = self.linear(h).unflatten(1, (self.sizes[0], self.sizes[0], self.maps))
        x = x.permute(0, 3, 1, 2)
        for up, block, size in zip(self.up, self.blocks, self.sizes[1:], strict=True):
            large = F.interpolate(F.relu(x), scale_factor=2, mode="nearest")
            x = block(up(large)[..., :size, :size], h)
        x = F.pixel_shuffle(self.last(F.relu(x)), 2)
        logits: Tensor = x[..., : self.side, : self.side]
        return logits


def plain_networks(config: Config, latents: int) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of a residual configuration."""
    return (
        PlainResidualEncoder(config.side, config.encoder_maps, config.hidden),
        PlainResidualDecoder(latents, config.side, config.decoder_maps, config.hidden),
    )
