"""A contact sheet: typed minibatches as rows of a picture, labelled with what varies."""

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets.minibatch import Minibatch
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.files import whole
from pyro_dcign.varying import type_factors

_GAP, _LINE = 4, 14


def contact_sheet(
    store: Store, *, rows: int = 2, columns: int = 12, split: str = "train"
) -> Image.Image:
    """The first minibatches of each type, a row each, in the order of the first factor that varies.

    A row is headed by its type and the values that are held; under each image stand its values of
    what varies, the identity as a number.

    Args:
        store: What to show.
        rows: Minibatches of each type.
        columns: Most images of a minibatch.
        split: "train" or "test".

    Raises:
        InputError: Nothing to show.
    """
    chosen = [
        store.minibatch(split, varying, index)
        for varying in store.types
        for index in range(min(rows, store.count(split, varying)))
    ]
    if not chosen:
        raise InputError(
            f"expected minibatches in {split} of {store.folder}, found none; show the other split"
        )
    columns = min(columns, store.size)
    zoom = max(1, -(-48 // store.side))  # small images are drawn larger: labels need the room
    cell = store.side * zoom
    height = cell + 2 * _LINE + 2 * _GAP
    sheet = Image.new("L", (columns * (cell + _GAP) + _GAP, len(chosen) * height + _GAP), 255)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(10)
    for row, minibatch in enumerate(chosen):
        top = row * height + _GAP
        draw.text((_GAP, top), _heading(minibatch, store), 0, font)
        for column, image in enumerate(_order(minibatch, columns)):
            left = _GAP + column * (cell + _GAP)
            picture = Image.fromarray(minibatch.pixels[image].numpy())
            picture = picture.resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(picture, (left, top + _LINE))
            text = _value(minibatch, image)
            draw.text((left + cell // 2, top + _LINE + cell + 1), text, 0, font, anchor="ma")
    return sheet


def save_picture(picture: Image.Image, path: Path | str) -> None:
    """Write a picture whole or not at all; the name's ending chooses the format.

    Raises:
        InputError: An ending that names no picture format.
    """
    path = Path(path)
    form = Image.registered_extensions().get(path.suffix.lower())
    if form is None or form not in Image.SAVE:
        raise InputError(
            f"expected a picture's name such as sheet.png, found {path.name}; end it in .png"
        )
    with whole(path) as temporary:
        picture.save(temporary, form)


def _heading(minibatch: Minibatch, store: Store) -> str:
    varies = type_factors(minibatch.varying, store.factors)
    held = [
        f"{name} {float(values[0]):.0f}"
        for name, values in minibatch.factors.items()
        if name not in varies and store.manifest.labelled
    ]
    if INTRINSIC not in varies:
        held.append(f"identity {int(minibatch.identity[0])}")
    verb = "vary" if "+" in minibatch.varying else "varies"
    return f"{minibatch.varying.replace('+', ', ')} {verb}" + (f"; {', '.join(held)}" * bool(held))


def _order(minibatch: Minibatch, columns: int) -> list[int]:
    """Images to show: evenly spread over the values of the first extrinsic factor that varies."""
    varies = type_factors(minibatch.varying, minibatch.factors)
    first = next((name for name in minibatch.factors if name in varies), None)
    if first is None:
        return list(range(columns))
    order = minibatch.factors[first].argsort()
    picked = torch.linspace(0, len(order) - 1, columns).round().long()
    return [int(image) for image in order[picked]]


def _value(minibatch: Minibatch, image: int) -> str:
    varies = type_factors(minibatch.varying, minibatch.factors)
    shown = [
        f"{float(values[image]):.{4 if len(varies) == 1 else 2}g}"
        for name, values in minibatch.factors.items()
        if name in varies
    ]
    who = [f"{int(minibatch.identity[image])}"] if INTRINSIC in varies else []
    return " ".join(shown + who)
