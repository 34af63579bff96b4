"""``pyro-dcign render``: new views of a picture."""

import math
from pathlib import Path

import click

from pyro_dcign.cli import options
from pyro_dcign.errors import InputError


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--run", type=click.Path(path_type=Path), help="Run directory.  [default: the shipped network]"
)
@click.option(
    "--azimuth", metavar="SWEEP", help="Turn the head, in degrees: -60:60:9, or -30,0,30."
)
@click.option("--elevation", metavar="SWEEP", help="Raise or lower the view.")
@click.option("--light", metavar="SWEEP", help="Move the lamp.")
@click.option(
    "--set", "others", metavar="NAME=SWEEP", multiple=True, help="Any other factor of the run."
)
@click.option("--grey", is_flag=True, help="Take the middle square, and colours as grey.")
@click.option("--crop", metavar="X,Y,SIZE", help="Take this square: its middle and side in pixels.")
@click.option("--face", type=click.IntRange(1), default=1, help="Of several, the largest is 1.")
@click.option("--force", is_flag=True, help="Go on where IMAGE is nothing like what RUN knows.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="FILE.png for a strip, FILE.gif for an animation.  [default: IMAGE-views.png, here]",
)
@options.guide
@options.device
def render(
    image: Path,
    run: Path | None,
    others: tuple[str, ...],
    grey: bool,
    crop: str | None,
    face: int,
    force: bool,
    out: Path | None,
    device: str,
    guide: str | None,
    **named: str | None,
) -> None:
    """Re-render IMAGE under other poses and lights: one row for each factor.

    A square grey picture is taken as it is. In any other, a photograph, the head is looked for, set
    upright and cropped as training heads lie in their frames (needs pyro-dcign[photo]), and the
    default network is the one of people before many grounds. A SWEEP is START:STOP:COUNT or values
    with commas. Without any, every factor is swept from end to end.
    """
    from pyro_dcign.files import head_in, is_photograph, parse_crop, read_picture
    from pyro_dcign.network import load, writable
    from pyro_dcign.style import value_label

    out = writable(out or Path(f"{image.stem}-views.png"))
    photograph = is_photograph(image)
    net = load(run or ("people" if photograph else "faces"), device=device, guide=guide)
    wanted = {name: text for name, text in named.items() if text is not None}
    for other in others:
        name, _, text = other.partition("=")
        wanted[name.strip()] = text
    values = {name: parse_sweep(text, name) for name, text in wanted.items()}
    found, said = parse_crop(crop) if crop else None, list[str]()
    if found is None and photograph and not grey:
        found = head_in(image, face=face)
        said.append(f"head: {found}")
    code = net.encode(read_picture(image, net.config.side, found)[0])
    sweep = net.sweep(code.pixels, **values)
    if net.calibration.familiarity:
        (familiar,) = code.familiarity
        if familiar.strange and not force:
            raise InputError(
                f"{image} is to be a head like those that the network knows, but is nothing like "
                f"one ({familiar}); crop it with --crop x,y,size, or go on with --force"
            )
        said.append(str(familiar))
    for _, name, *reading in code.to_frame().itertuples(index=False, name=None):
        value, low, high = (value_label(name, net.factors[name], v) for v in reading)
        said.append(f"read {name} {value} ({low} to {high})")
    sweep.save(out)
    click.echo("\n".join([*said, str(out)]))


MAX_VIEWS = 64


def parse_sweep(text: str, factor: str) -> list[float]:
    """Values of ``START:STOP:COUNT`` or of a list with commas, in degrees for angles.

    Raises:
        InputError: Not of that form, or more than 64 values.
    """
    import numpy as np

    try:
        if ":" in text:
            start, stop, count = text.split(":")
            if not 1 <= int(count) <= MAX_VIEWS:
                raise ValueError
            values = [float(v) for v in np.linspace(float(start), float(stop), int(count))]
        else:
            values = [float(part) for part in text.split(",")]
        if len(values) > MAX_VIEWS or not all(math.isfinite(v) for v in values):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(
            f"{factor} is START:STOP:COUNT or V,V,… with 1 to {MAX_VIEWS} numbers, got {text!r}; "
            "write e.g. -60:60:9"
        ) from None
    return values
