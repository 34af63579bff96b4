"""Pictures as people have them become the same pixels; everything else is refused in one line."""

import numpy as np
import pytest
import torch
from PIL import Image
from toy_run import toy_run

from pyro_dcign.datasets.readers.pictures import picture
from pyro_dcign.errors import InputError
from pyro_dcign.files.picture import LUMA, read_picture
from pyro_dcign.images import pixels_of, resized
from pyro_dcign.runs.codes import encode

SIDE = 16
GREY = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def saved(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


FORMS = {
    "a path": lambda folder: saved(GREY, folder / "a.png"),
    "a path as text": lambda folder: str(saved(GREY, folder / "a.png")),
    "16 bits": lambda folder: saved(GREY.astype(np.uint16) * 257, folder / "a.png"),
    "PIL": lambda _: Image.fromarray(GREY),
    "PIL in RGB": lambda _: Image.fromarray(GREY).convert("RGB"),
    "PIL in RGBA": lambda _: Image.fromarray(GREY).convert("RGBA"),
    "PIL of floats": lambda _: Image.fromarray((GREY / 255).astype(np.float32)),
    "(H, W)": lambda _: GREY,
    "(H, W) of floats": lambda _: GREY / 255,
    "(H, W) of half precision": lambda _: torch.from_numpy(GREY / 255).half(),
    "(H, W, 3)": lambda _: np.repeat(GREY[..., None], 3, -1),
    "(1, H, W)": lambda _: GREY[None],
    "(1, 1, H, W)": lambda _: torch.from_numpy(GREY)[None, None],
    "(1, 1, H, W) of floats": lambda _: torch.from_numpy(GREY / 255)[None, None],
    "(1, H, W, 3)": lambda _: np.repeat(GREY[None, ..., None], 3, -1),
    "a list": lambda _: [GREY],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_picture_gives_the_same_code(form, tmp_path):
    wanted = resized(torch.from_numpy(GREY)[None], SIDE)
    pixels = pixels_of(FORMS[form](tmp_path), SIDE)
    if "16" not in form:
        assert torch.equal(pixels, wanted)
    run = toy_run()
    assert torch.equal(encode(run, pixels), encode(run, wanted))


def test_every_form_of_colours_gives_the_same_pixels(tmp_path):
    wanted = pixels_of(RGB, SIDE)
    path = saved(RGB, tmp_path / "a.png")
    forms = [path, Image.open(path), RGB / 255, torch.from_numpy(RGB), RGB[None]]
    assert torch.equal(pixels_of(forms, SIDE), wanted.expand(len(forms), -1, -1))
    assert torch.equal(read_picture(path, SIDE)[0], wanted[0])
    assert torch.equal(resized(torch.from_numpy(picture(path)), SIDE), wanted)


def test_luma_is_that_of_bt_601():
    found = pixels_of(RGB[:, :20], 20)[0].numpy()
    assert np.abs(found - RGB[:, :20] @ np.array(LUMA)).max() <= 0.5 + 1e-3


def test_many_pictures_keep_their_order():
    many = np.stack([GREY, 255 - GREY, GREY // 2])
    whole = pixels_of(many, SIDE)
    assert torch.equal(whole, pixels_of(list(many), SIDE))
    assert torch.equal(whole, pixels_of(torch.from_numpy(many)[:, None] / 255, SIDE))
    assert torch.equal(whole, pixels_of([many[:2], Image.fromarray(many[2])], SIDE))


def test_a_side_is_the_pictures_own_unless_it_is_named():
    assert pixels_of(GREY).shape == (1, 20, 20)
    with pytest.raises(InputError, match="of one size"):
        pixels_of([GREY, GREY[:9, :9]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("read", ["render", "import", "python", "PIL"])
def test_every_reader_turns_a_picture_as_its_exif_says(orientation, read, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(GREY, tmp_path / "a.png", exif=exif)
    upright = np.asarray(
        {
            1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1], 5: GREY.T,
            6: GREY[::-1].T, 7: GREY[::-1, ::-1].T, 8: GREY.T[::-1],
        }[orientation]
    )  # fmt: skip
    wanted = resized(torch.from_numpy(np.ascontiguousarray(upright))[None], SIDE)
    found = {
        "render": lambda: read_picture(path, SIDE)[0][None],
        "import": lambda: resized(torch.from_numpy(picture(path)), SIDE),
        "python": lambda: pixels_of(path, SIDE),
        "PIL": lambda: pixels_of(Image.open(path), SIDE),
    }[read]()
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_black_for_every_reader(mode, tmp_path):
    half = Image.new("LA", (SIDE, SIDE), (200, 255))
    half.paste((200, 0), (0, 0, 8, SIDE))
    image = half.convert("RGBA")
    path = tmp_path / "a.png"
    (image.quantize() if mode == "P" else image.convert(mode)).save(path)
    for found in (
        read_picture(path, SIDE)[0], torch.from_numpy(picture(path))[0], pixels_of(path, SIDE)[0]
    ):  # fmt: skip
        assert (found[:, :8] == 0).all()
        assert (found[:, 8:] == 200).all()


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path):
    path = saved(np.full((SIDE, SIDE), 255, np.uint16), tmp_path / "dark.png")
    assert (pixels_of(path, SIDE) == 1).all()
    assert (pixels_of(Image.open(path), SIDE) == 1).all()
    assert (picture(path) == 1).all()


BAD = {
    "no pictures": ([], "1 or more"),
    "an empty array": (np.zeros((0, 16, 16), np.uint8), "1 or more"),
    "no height": (np.zeros((1, 0, 16)), "8 or more pixels"),
    "(H,)": (np.zeros(16), r"got \(16,\)"),
    "(n, 2, H, W)": (np.zeros((1, 2, 16, 16)), "change its shape"),
    "(H, W, 4)": (np.zeros((16, 16, 4), np.uint8), "change its shape"),
    "five axes": (np.zeros((1, 1, 1, 16, 16)), "change its shape"),
    "int64": (np.zeros((16, 16), np.int64), "got int64"),
    "bool": (np.zeros((16, 16), bool), "got bool"),
    "complex": (torch.zeros(16, 16, dtype=torch.complex64), "got complex64"),
    "0 to 255 in floats": (np.full((16, 16), 255.0), "divide by 255"),
    "below 0": (np.full((16, 16), -0.1), "got -0.1"),
    "NaN": (np.full((16, 16), np.nan), "got NaN"),
    "infinity": (np.full((16, 16), np.inf), "got inf"),
    "a number": (3, "got int"),
    "None": (None, "got NoneType"),
    "numbers in lists": ([[0.0, 1.0]], "got float"),
    "no file": ("nosuch.png", "nosuch.png"),
    "PIL of 32 bits": (Image.new("I", (16, 16)), "8 or 16 bits"),
    "PIL of large floats": (Image.new("F", (16, 16), 7.0), "floats in"),
    "one of many": ([GREY, np.full((16, 16), 2.0)], "divide by 255"),
}


@pytest.mark.parametrize("what", BAD)
def test_anything_else_is_refused_in_one_line(what):
    given, says = BAD[what]
    with pytest.raises(InputError, match=says) as caught:
        pixels_of(given, SIDE)
    assert "\n" not in str(caught.value)
