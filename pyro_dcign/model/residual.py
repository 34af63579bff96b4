"""The residual encoder and decoder: the deeper network that the paper leaves to future work."""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pyro_dcign.code import Latents
from pyro_dcign.images import Images
from pyro_dcign.machine import compute_dtype, usable
from pyro_dcign.model.networks import UnpoolConv2d

SMALL = 0.2
"""What the last weights of a residual branch start at, of their usual size."""
EIGHT = 8
"""Maps in and out of a convolution that tensor cores want at least."""


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _kernel(convolution: nn.Module, dtype: torch.dtype) -> Tensor:
    assert isinstance(convolution, nn.Conv2d)
    return convolution.weight.to(dtype, memory_format=torch.channels_last)


def _padded(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c2 h w"]:
    """With channels of zero after its own up to 8."""
    return F.pad(maps, (0, 0, 0, 0, 0, max(0, EIGHT - maps.shape[1])))


class ResidualBlock(nn.Module):
    """x + conv(relu(modulated(conv(relu(x))))): two 3×3 convolutions beside a shortcut.

    There is no normalisation: on heads it bought nothing and took a quarter of the time.

    Args:
        maps: Channels in and out.
        hidden: Length of the vector that scales and shifts the inner maps; 0 leaves that out.
    """

    def __init__(self, maps: int, hidden: int = 0) -> None:
        super().__init__()
        self.first, self.second = _convolution(maps, maps), _convolution(maps, maps)
        self.style = nn.Linear(hidden, 2 * maps) if hidden else None
        with torch.no_grad():
            self.second.weight *= SMALL
            if self.style is not None:
                self.style.weight *= SMALL
                self.style.bias.zero_()

    def forward(
        self, x: Float[Tensor, "n maps h w"], hidden: Float[Tensor, "n hidden"] | None = None
    ) -> Float[Tensor, "n maps h w"]:
        """Maps of the same shape."""
        y = self.first(F.relu(x))
        if self.style is not None and hidden is not None:
            with torch.autocast(hidden.device.type, enabled=False):
                scale, shift = self.style(hidden)[..., None, None].chunk(2, 1)
            y = torch.addcmul(y + shift.to(y.dtype), y, scale.to(y.dtype))
        out: Tensor = x + self.second(F.relu_(y))
        return out

    def fused(
        self,
        y: Float[Tensor, "n wide h w"],
        bias: Float[Tensor, " maps"],
        hidden: Float[Tensor, "n hidden"] | None = None,
        *,
        size: int | None = None,
    ) -> Float[Tensor, "n maps size size"]:
        """ReLU of this block at a convolution's output plus bias, on a GPU.

        With ``size`` the output is the four phases of a folded one.
        """
        from pyro_dcign.model.kernels.stage import stage  # noqa: PLC0415

        style = None if self.style is None or hidden is None else self.style(hidden)
        found: Tensor = stage(y, bias, self.first, self.second, style=style, size=size)
        return found


class ResidualLinear(nn.Module):
    """x + linear(relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        with torch.no_grad():
            self.linear.weight *= SMALL

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
        """A vector of the same length."""
        out: Tensor = x + self.linear(F.relu(x))
        return out


class ResidualEncoder(nn.Module):
    """Space to depth, then stages of strided convolution and residual block: images to features.

    Args:
        side: Height and width of the images.
        maps: Channels of the first convolution and of each stage, which halves the side.
        hidden: Length of the features.
    """

    def __init__(self, side: int, maps: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.side, self.features = side, hidden
        self.first = _convolution(4, maps[0])
        self.down = nn.ModuleList(_convolution(a, b, stride=2) for a, b in itertools.pairwise(maps))
        self.blocks = nn.ModuleList(ResidualBlock(m) for m in maps[1:])
        size = math.ceil(side / 2)
        for _ in maps[1:]:
            size = math.ceil(size / 2)
        self.linear = nn.Linear(maps[-1] * size**2, hidden)
        self.residual = ResidualLinear(hidden)

    def forward(self, images: Images) -> Float[Tensor, "images features"]:
        """Features of each image, in the images' precision even under autocast."""
        odd = self.side % 2
        x = F.pixel_unshuffle(F.pad(images, (0, odd, 0, odd)), 2)
        if usable(images):
            x = self._fused(x)
        else:
            x = F.relu_(self.first(x))
            for down, block in zip(self.down, self.blocks, strict=True):
                x = F.relu_(block(down(x)))
        x = self.linear(x.flatten(1)).to(images.dtype)
        with torch.autocast(images.device.type, enabled=False):
            return F.relu(self.residual(F.relu(x)))

    def _fused(self, x: Float[Tensor, "n 4 h w"]) -> Float[Tensor, "n maps h2 w2"]:
        from pyro_dcign.model.kernels.stage import relu  # noqa: PLC0415

        dtype = compute_dtype(x)
        x = _padded(x).to(dtype, memory_format=torch.channels_last)
        with torch.autocast(x.device.type, enabled=False):
            assert self.first.bias is not None
            kernel = _padded(self.first.weight).to(dtype, memory_format=torch.channels_last)
            x = relu(F.conv2d(x, kernel, padding=1), self.first.bias)
            for down, block in zip(self.down, self.blocks, strict=True):
                assert isinstance(block, ResidualBlock)
                y = F.conv2d(x, _kernel(down, dtype), stride=2, padding=1)
                assert isinstance(down.bias, Tensor)
                x = block.fused(y, down.bias)
        return x


class ResidualDecoder(nn.Module):
    """A hidden vector, then stages of ×2 unpooling and a residual block that it scales and shifts.

    The hidden vector reaches every stage, so pose and person are mixed in each of them; the paper's
    decoder mixes them in one linear layer. Unpooling and its 3×3 convolution are computed folded
    (:class:`~pyro_dcign.model.networks.UnpoolConv2d`).

    Args:
        latents: Length of the code.
        side: Height and width of the images.
        maps: Channels of the first map and of each stage, which doubles the side; the last stage
            has half the images' side, and a pixel shuffle brings it to theirs.
        hidden: Length of the hidden vector.
    """

    def __init__(self, latents: int, side: int, maps: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.side, self.maps = side, maps[0]
        half = math.ceil(side / 2)
        sizes = [half]
        for _ in maps[1:]:
            sizes.append(math.ceil(sizes[-1] / 2))
        self.sizes = sizes[::-1]
        self.hidden = nn.Linear(latents, hidden)
        self.residual = ResidualLinear(hidden)
        self.linear = nn.Linear(hidden, maps[0] * self.sizes[0] ** 2)
        self.up = nn.ModuleList(
            UnpoolConv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(maps)
        )
        self.blocks = nn.ModuleList(ResidualBlock(m, hidden) for m in maps[1:])
        self.last = _convolution(maps[-1], 4)

    @property
    def bias(self) -> Tensor:
        """Bias of the logits."""
        assert self.last.bias is not None
        return self.last.bias

    def forward(self, latents: Latents) -> Float[Tensor, "*batch 1 side side"]:
        """Logits of the images, in the latents' precision even under autocast."""
        z = latents.flatten(0, -2)
        with torch.autocast(z.device.type, enabled=False):
            h = F.relu(self.residual(F.relu(self.hidden(z))))
            x = self.linear(h)
        # Channels last by its strides alone: torch.func.vmap knows no memory formats.
        x = x.unflatten(1, (self.sizes[0], self.sizes[0], self.maps)).permute(0, 3, 1, 2)
        x = F.relu_(x)
        if usable(x):
            x = self._fused(x, h)
        else:
            for up, block, size in zip(self.up, self.blocks, self.sizes[1:], strict=True):
                x = F.relu_(block(up(x)[..., 1 : size + 1, 1 : size + 1], h))
            x = self.last(x)
        x = F.pixel_shuffle(x, 2)[..., : self.side, : self.side]
        logits: Tensor = x.to(latents.dtype).unflatten(0, latents.shape[:-1])
        return logits

    def _fused(
        self, x: Float[Tensor, "n maps h w"], h: Float[Tensor, "n hidden"]
    ) -> Float[Tensor, "n 4 h2 w2"]:
        from pyro_dcign.model.kernels.fold import fold  # noqa: PLC0415

        wide, dtype = x.dtype, compute_dtype(x)
        x = x.to(dtype)
        with torch.autocast(x.device.type, enabled=False):
            for up, block, size in zip(self.up, self.blocks, self.sizes[1:], strict=True):
                assert isinstance(up, UnpoolConv2d)
                assert isinstance(block, ResidualBlock)
                assert up.bias is not None
                y = F.conv2d(x, fold(up.weight, dtype), padding=1)
                x = block.fused(y, up.bias, h, size=size)
            kernel = _padded(self.last.weight.transpose(0, 1)).transpose(0, 1)
            kernel = kernel.to(dtype, memory_format=torch.channels_last)
            # The bias is added in single precision.
            x = F.conv2d(x, kernel, padding=1)[:, :4].to(wide)
            return x + self.bias[:, None, None]
