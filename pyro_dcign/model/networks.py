"""The convolutional encoder trunk and decoder, with the unpooling convolution folded."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pyro_dcign.code import Latents
from pyro_dcign.images import Images
from pyro_dcign.machine import compute_dtype, usable


class Encoder(nn.Module):
    """Blocks of 5×5 valid convolution, 2×2 max-pooling and ReLU: images to features.

    The paper's (section 4.1) has 96, 64 and 32 maps on 150×150 images: 150→146→73→69→34→30→15, so
    32·15·15 = 7200 features. A guide adds its own linear heads (see :func:`linear_head`).

    Raises:
        ValueError: Images so small that a block would have nothing left.
    """

    def __init__(self, side: int, maps: Sequence[int], *, kernel: int = 5) -> None:
        super().__init__()
        size = side
        for block in range(len(maps)):
            size = (size - kernel + 1) // 2
            if size < 1:
                raise ValueError(
                    f"Encoder() with {len(maps)} blocks needs larger images than side {side}, "
                    f"block {block + 1} has no pixels left; use fewer blocks or a larger side"
                )
        self.side, self.features = side, maps[-1] * size * size
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel)
            for before, after in zip([1, *maps[:-1]], maps, strict=True)
        )

    def forward(self, images: Images) -> Float[Tensor, "images features"]:
        """Features of each image, in the images' precision even under autocast."""
        if usable(images):
            return self._fused(images)
        x = images
        for convolution in self.convolutions:
            # ReLU and max commute; pooling first leaves a quarter of the work to the ReLU.
            x = F.relu(F.max_pool2d(convolution(x), 2))
        return x.flatten(1).to(images.dtype)

    def _fused(self, images: Images) -> Float[Tensor, "images features"]:
        from pyro_dcign.model.kernels.first import first, takes  # noqa: PLC0415
        from pyro_dcign.model.kernels.pool import pool  # noqa: PLC0415

        dtype, x = compute_dtype(images), images
        with torch.autocast(images.device.type, enabled=False):
            for convolution in self.convolutions:
                assert isinstance(convolution, nn.Conv2d)
                assert convolution.bias is not None
                weight, bias = convolution.weight, convolution.bias
                if x is images and takes(images, weight, dtype):
                    x = first(images, weight, bias, dtype)
                else:
                    kernel = weight.to(dtype, memory_format=torch.channels_last)
                    x = pool(F.conv2d(x.to(dtype), kernel), bias)
        return x.to(images.dtype, memory_format=torch.contiguous_format).flatten(1)


def linear_head(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights from N(0, 0.01²), as the released code draws its heads'."""
    head = nn.Linear(inputs, outputs)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.normal_(head.bias, std=0.01)
    return head


def folding(kernel: int) -> Float[Tensor, "2 taps kernel"]:
    """Which small-map pixel each tap of an odd kernel reads, for both output phases.

    After nearest ×2 unpooling, tap t of output 2i + p reads small pixel i + ⌊(p + t) / 2⌋, so a
    kernel of 7 has only 4 distinct inputs a side. Row [p, a] sums the taps that read pixel i + a.

    Raises:
        ValueError: An even kernel, whose two phases need different numbers of pixels.
    """
    if kernel % 2 == 0:
        raise ValueError(f"folding() needs an odd kernel, got {kernel}; use {kernel + 1}")
    taps = torch.zeros(2, kernel // 2 + 1, kernel)
    for phase in range(2):
        for tap in range(kernel):
            taps[phase, (phase + tap) // 2, tap] = 1
    return taps


class UnpoolConv2d(nn.Module):
    """Nearest ×2 unpooling, then a valid k×k convolution: (h, w) to (2h - k + 1, 2w - k + 1).

    Computed as one (k+1)/2-sided convolution on the small map into four phases, then a pixel
    shuffle: the same function and gradients with 3.06 times fewer operations at k = 7. The
    parameter stays the paper's k×k kernel and is folded in the forward pass.

    Args:
        inputs: Maps.
        outputs: Maps.
        kernel: Side of the kernel, odd.
        padding: Rows and columns of zeros around the small map, each twice that after unpooling.
    """

    folding: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, padding: int = 0) -> None:
        super().__init__()
        self.padding = padding
        plain = nn.Conv2d(inputs, outputs, kernel)
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer("folding", folding(kernel), persistent=False)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Kernel (4·outputs, inputs, taps, taps) and bias of the convolution on the small map."""
        assert self.bias is not None
        maps, inputs, kernel, _ = self.weight.shape
        taps = self.folding.to(self.weight.dtype)
        both = torch.einsum("pas,qbt->pqabst", taps, taps).reshape(-1, kernel**2)
        # One product on the parameter as it lies in memory, channels last, and so is its result.
        last = self.weight.permute(0, 2, 3, 1).reshape(maps, kernel**2, inputs)
        folded = torch.matmul(both, last).reshape(4 * maps, *taps.shape[1:2] * 2, inputs)
        return folded.permute(0, 3, 1, 2), self.bias.repeat_interleave(4)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """The unpooled and convolved maps."""
        # Taps are summed in the parameters' precision and rounded once, after the sum.
        with torch.autocast(x.device.type, enabled=False):
            kernel, bias = self.folded()
        return F.pixel_shuffle(F.conv2d(x, kernel, bias, padding=self.padding), 2)


class Decoder(nn.Module):
    """Linear layer, then blocks of ×2 unpooling, convolution and ReLU: latents to image logits.

    The paper's (section 4.1): 200→7200 to 32×15×15, then four 7×7 blocks with 64, 96, 96 and 1
    maps, 15→24→42→78→150. For other sides the first map is as small as still covers the image, and
    a block that is a pixel too large is cropped at the bottom and right.

    Args:
        latents: Length of the code.
        side: Height and width of the images.
        maps: Maps of the linear layer's output and of each block; the last is 1 for grey images.
        kernels: Kernel of each block.
    """

    def __init__(
        self, latents: int, side: int, maps: Sequence[int], kernels: Sequence[int]
    ) -> None:
        super().__init__()
        if len(maps) != len(kernels) + 1:
            raise ValueError(
                f"Decoder() needs one more number of maps than kernels, got {len(maps)} and "
                f"{len(kernels)}; the first number of maps is the linear layer's"
            )
        sizes = [side]
        for kernel in reversed(kernels):
            sizes.append(math.ceil((sizes[-1] + kernel - 1) / 2))
        self.sizes = sizes[::-1]
        self.maps = maps[0]
        self.linear = nn.Linear(latents, maps[0] * self.sizes[0] ** 2)
        self.blocks = nn.ModuleList(
            UnpoolConv2d(before, after, kernel)
            for before, after, kernel in zip(maps[:-1], maps[1:], kernels, strict=True)
        )

    @property
    def bias(self) -> Tensor:
        """Bias of the logits."""
        last = self.blocks[-1]
        assert isinstance(last, UnpoolConv2d)
        assert last.bias is not None
        return last.bias

    def forward(self, latents: Latents) -> Float[Tensor, "*batch 1 side side"]:
        """Logits of the images, in the latents' precision even under autocast."""
        z = latents.flatten(0, -2)
        # The code is never rounded to bfloat16, whose three digits are coarser than a posterior.
        with torch.autocast(z.device.type, enabled=False):
            x = F.relu(self.linear(z))
        x = x.unflatten(1, (self.maps, self.sizes[0], self.sizes[0]))
        if usable(x):
            rendered: Tensor = self._fused(x).unflatten(0, latents.shape[:-1])
            return rendered
        # Channels last, by a copy that torch.func.vmap can batch.
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        for block, size in zip(self.blocks, self.sizes[1:], strict=True):
            x = block(x)[..., :size, :size]
            if block is not self.blocks[-1]:
                x = F.relu(x)
        logits: Tensor = x.to(latents.dtype).unflatten(0, latents.shape[:-1])
        return logits

    def _fused(self, x: Float[Tensor, "n maps h w"]) -> Float[Tensor, "n 1 side side"]:
        from pyro_dcign.model.kernels.fold import fold  # noqa: PLC0415
        from pyro_dcign.model.kernels.shuffle import shuffle  # noqa: PLC0415

        wide, dtype = x.dtype, compute_dtype(x)
        x = x.to(dtype, memory_format=torch.channels_last)
        with torch.autocast(x.device.type, enabled=False):
            for block, size in zip(self.blocks, self.sizes[1:], strict=True):
                assert isinstance(block, UnpoolConv2d)
                assert block.bias is not None
                last = block is self.blocks[-1]
                y = F.conv2d(x, fold(block.weight, dtype))
                kind = wide if last else dtype
                x = shuffle(y, block.bias, size=size, relu=not last, dtype=kind)
        return x
