"""Laws of the residual network: shapes at any side, exact folding, forward mode and vmap."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_dcign.machine import usable
from pyro_dcign.model.residual import ResidualBlock, ResidualDecoder, ResidualEncoder

FLOAT32, BFLOAT16 = 1e-4, 6e-2
"""Largest relative errors of a network's value and gradients from float64, in norm."""


@pytest.mark.parametrize("side", [16, 33, 64, 150])
def test_pictures_have_the_side_that_was_asked_for(side: int) -> None:
    encoder, decoder = ResidualEncoder(side, (4, 6, 8), 12), ResidualDecoder(5, side, (8, 6, 4), 12)
    images = torch.rand(2, 1, side, side)
    assert encoder(images).shape == (2, encoder.features)
    assert decoder(torch.randn(3, 2, 5)).shape == (3, 2, 1, side, side)


def unfolded(decoder: ResidualDecoder, z: Tensor) -> Tensor:
    """The same decoder with unpooling and convolution written out."""
    h = F.relu(decoder.residual(F.relu(decoder.hidden(z))))
    size = decoder.sizes[0]
    x = decoder.linear(h).unflatten(1, (size, size, decoder.maps)).permute(0, 3, 1, 2)
    for up, block, size in zip(decoder.up, decoder.blocks, decoder.sizes[1:], strict=True):
        large = F.interpolate(F.relu(x), scale_factor=2, mode="nearest")
        x = block(F.conv2d(large, up.weight, up.bias, padding=1)[..., :size, :size], h)
    x = F.pixel_shuffle(decoder.last(F.relu(x)), 2)
    return x[..., : decoder.side, : decoder.side]


def test_folding_changes_neither_pictures_nor_gradients() -> None:
    decoder = ResidualDecoder(5, 33, (8, 6, 4), 12).double()
    z = torch.randn(2, 5, dtype=torch.float64)
    gradients = []
    for program in (decoder, lambda z: unfolded(decoder, z)):
        decoder.zero_grad()
        pictures = program(z)
        pictures.square().sum().backward()
        gradients.append([pictures.detach(), *(p.grad for p in decoder.parameters())])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_hidden_vector_of_another_picture_changes_every_stage() -> None:
    block = ResidualBlock(4, 6).double()
    x, h = torch.randn(2, 1, 4, 5, 5, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    ours, other = (block(x[0], h[i].expand(1, -1)) for i in range(2))
    assert (ours != other).any(-1).any(-1).all()


# PyTorch 2.13 warns of its own torch.jit.script where forward mode is first used.
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_forward_mode_agrees_with_finite_differences() -> None:
    decoder = ResidualDecoder(5, 17, (6, 4), 8).double()
    z, along = (torch.randn(1, 5, dtype=torch.float64) for _ in range(2))
    _, slope = torch.func.jvp(decoder, (z,), (along,))
    step = 1e-6
    wanted = (decoder(z + step * along) - decoder(z - step * along)) / (2 * step)
    torch.testing.assert_close(slope, wanted, rtol=1e-6, atol=1e-8)


def test_vmap_over_codes_is_the_batch() -> None:
    decoder = ResidualDecoder(5, 16, (6, 4), 8).double()
    z = torch.randn(3, 5, dtype=torch.float64)
    one_by_one = torch.func.vmap(lambda code: decoder(code[None])[0])(z)
    torch.testing.assert_close(one_by_one, decoder(z), rtol=1e-12, atol=1e-12)


def test_precision_of_the_output_is_the_inputs_under_autocast() -> None:
    encoder, decoder = ResidualEncoder(16, (4, 6), 8), ResidualDecoder(5, 16, (6, 4), 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(torch.rand(2, 1, 16, 16)).dtype == torch.float32
        assert decoder(torch.randn(2, 5)).dtype == torch.float32


def errors(network: torch.nn.Module, x: Tensor, precision: torch.dtype) -> list[float]:
    """Relative errors from float64: of the value, of the input's and the parameters' gradients."""
    found = []
    for program in (network, copy.deepcopy(network).double()):
        inputs = x.to(next(program.parameters()).dtype).requires_grad_()
        held = [inputs, *program.parameters()]
        lowered = program is network and precision != torch.float32
        with torch.autocast(x.device.type, torch.bfloat16, enabled=lowered):
            y = program(inputs)
        up = torch.randn(
            y.shape, generator=torch.Generator(x.device).manual_seed(1), device=x.device
        )
        found.append([y.detach(), *torch.autograd.grad(y, held, up.to(y.dtype))])
    return [float((a.double() - b).norm() / b.norm()) for a, b in zip(*found, strict=True)]


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("precision", "limit"), [(torch.float32, FLOAT32), (torch.bfloat16, BFLOAT16)]
)
@pytest.mark.parametrize("side", [150, 64, 33])
def test_fused_stages_have_the_values_and_gradients_of_float64(side, precision, limit) -> None:
    torch.manual_seed(0)
    encoder = ResidualEncoder(side, (64, 64, 96), 48), torch.rand(8, 1, side, side)
    decoder = ResidualDecoder(20, side, (96, 64, 48), 48), torch.randn(8, 20)
    with torch.backends.cudnn.flags(allow_tf32=False):
        for network, x in (encoder, decoder):
            network.cuda().to(memory_format=torch.channels_last)
            with torch.no_grad():
                for p in network.parameters():
                    p.add_(0.01 * torch.randn_like(p))
            assert usable(x.cuda())
            assert max(errors(network, x.cuda(), precision)) < limit
