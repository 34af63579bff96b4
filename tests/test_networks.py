"""Laws of the networks: the folding is exact, and the sizes are the paper's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_dcign.config import PRESETS
from pyro_dcign.model.networks import Decoder, Encoder, UnpoolConv2d, folding, linear_head


@given(
    st.sampled_from([1, 3, 5, 7, 9]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(5, 8),
    st.integers(5, 8),
)
@settings(max_examples=40)
def test_folding_is_unpooling_then_convolution(kernel, inputs, outputs, height, width) -> None:
    torch.manual_seed(0)
    layer = UnpoolConv2d(inputs, outputs, kernel).double()
    x = torch.randn(2, inputs, height, width, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), layer.weight, layer.bias)
    folded = layer(x)
    torch.testing.assert_close(folded, plain, rtol=1e-12, atol=1e-13)
    upstream = torch.randn_like(plain)
    wanted = torch.autograd.grad(plain, [x, layer.weight, layer.bias], upstream)
    found = torch.autograd.grad(folded, [x, layer.weight, layer.bias], upstream)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_every_tap_of_a_kernel_is_read_once_by_each_phase() -> None:
    assert folding(7).sum(1).eq(1).all()
    assert folding(7)[0].argmax(0).tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert folding(7)[1].argmax(0).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        folding(4)


@pytest.mark.parametrize(
    ("preset", "features", "maps"), [("paper", 7200, 32), ("torch7", 5400, 24)]
)
def test_sizes_are_the_papers(preset, features, maps) -> None:
    config = PRESETS[preset]
    assert Encoder(150, config.encoder_maps).features == features
    decoder = Decoder(200, 150, config.decoder_maps, config.decoder_kernels)
    assert decoder.sizes == [15, 24, 42, 78, 150]
    assert decoder.linear.weight.shape == (maps * 15 * 15, 200)


@given(st.integers(16, 200))
@settings(max_examples=10)
def test_decoder_covers_every_side(side) -> None:
    decoder = Decoder(3, side, (2, 2, 1), (5, 7))
    assert decoder(torch.zeros(2, 3)).shape == (2, 1, side, side)


def test_encoder_of_too_small_images_is_refused() -> None:
    with pytest.raises(ValueError, match="larger images than side 16"):
        Encoder(16, (1, 1, 1))


def test_heads_are_drawn_from_a_normal_of_sd_one_hundredth() -> None:
    torch.manual_seed(0)
    weight = linear_head(500, 400).weight
    # 2e5 draws: the standard error of the sd is 1.6e-5, so 1e-4 is six of them
    assert weight.std().item() == pytest.approx(0.01, abs=1e-4)
    assert abs(weight.mean().item()) < 6 * 0.01 / 200_000**0.5


def test_precision_of_the_output_is_the_inputs_under_autocast() -> None:
    encoder, decoder = Encoder(24, (2, 2)), Decoder(3, 24, (2, 2, 1), (5, 7))
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(torch.rand(2, 1, 24, 24)).dtype == torch.float32
        assert decoder(torch.rand(2, 3)).dtype == torch.float32
