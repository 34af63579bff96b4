import contextlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyro_dcign.cli.render import parse_sweep
from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.files.picture import read_picture
from pyro_dcign.measures.figures.strips import frames, strip, write_pictures
from pyro_dcign.network.network import inside

LIMITS = FactorRange(-80.0, 80.0)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("-60:60:5", [-60, -30, 0, 30, 60]),
        ("10,-5.5", [10, -5.5]),
        ("7", [7]),
        ("3:9:1", [3]),
    ],
)
def test_sweeps_are_ranges_or_lists(text, values):
    assert parse_sweep(text, "azimuth") == values


@pytest.mark.parametrize("text", ["", "a", "1:2", "1:2:0", "1:2:3.5", "0:1:99999", "nan", "1,,2"])
def test_other_sweeps_are_refused(text):
    with pytest.raises(InputError, match="START:STOP:COUNT"):
        parse_sweep(text, "azimuth")


def test_values_that_were_not_trained_on_are_refused_by_name():
    with pytest.raises(InputError, match="azimuth was trained from -80 to 80, got 90"):
        inside("azimuth", parse_sweep("0:90:4", "azimuth"), LIMITS)


def test_a_full_circle_takes_any_angle():
    assert inside("azimuth", [-90, 450], FactorRange(0.0, 360.0, (), 360.0)) == [-90, 450]


@given(st.text(max_size=12))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(InputError):
        assert all(map(math.isfinite, parse_sweep(text, "azimuth")))


def test_colours_become_bt_601_luma(tmp_path):
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "red.png")
    pixels, colour = read_picture(tmp_path / "red.png", 16)
    assert colour
    assert pixels.shape == (16, 16)
    assert (pixels == 76).all()  # .299 of 255


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_a_grey_picture_of_any_kind_stays_as_it_is(tmp_path, mode):
    grey = np.zeros((16, 16), dtype=np.uint8)
    grey[4:12] = 255
    picture = Image.fromarray(grey)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode != "L":
        picture = picture.convert(mode)
    picture.save(tmp_path / "grey.png")
    pixels, colour = read_picture(tmp_path / "grey.png", 16)
    assert not colour
    assert torch.equal(pixels, torch.from_numpy(grey))


def test_the_middle_square_is_taken(tmp_path):
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (read_picture(tmp_path / "wide.png", 10)[0] == 200).all()


def test_transparency_is_black(tmp_path):
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png", 8)[0] == 0).all()


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (64, 64), 128).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "bomb.png").write_bytes(_header_only(30_000, 30_000))
    for name in ("text.png", "cut.png", "bomb.png", "none.png"):
        with pytest.raises(InputError):
            read_picture(tmp_path / name, 16)


def _header_only(width, height):
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + head
    crc = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc


def test_strips_have_a_row_for_each_factor_and_gifs_go_there_and_back(tmp_path):
    one, three = torch.rand(1, 1, 16, 16), torch.rand(3, 1, 16, 16)
    views = {"azimuth": ([-9.0, 0.0, 9.0], three), "light": ([5.0], one)}
    ranges = dict.fromkeys(views, FactorRange(-9.0, 9.0))
    sheet = strip(one, one, views, ranges)
    assert sheet.width > 5 * 128
    assert 2 * 128 < sheet.height < 3 * 128
    moving = frames(one, views, ranges)
    assert len(moving) == 4 + 1
    write_pictures(moving, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as found:
        assert found.n_frames == 5
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
