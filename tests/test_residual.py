"""Laws of the residual network: shapes at any side, exact folding, forward mode and vmap."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pyro_dcign.model.residual import ResidualBlock, ResidualDecoder, ResidualEncoder


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
