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
@click.option("--grey", is_flag=True, help="Read a picture in colour as grey (BT.601 luma).")
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
    out: Path | None,
    device: str,
    guide: str | None,
    **named: str | None,
) -> None:
    """Re-render IMAGE under other poses and lights: one row for each factor.

    A SWEEP is START:STOP:COUNT or values with commas. Without any, every factor is swept from end
    to end.
    """
    from pyro_dcign.files import read_picture
    from pyro_dcign.network import load, writable

    out = writable(out or Path(f"{image.stem}-views.png"))
    net = load(run or "faces", device=device, guide=guide)
    wanted = {name: text for name, text in named.items() if text is not None}
    for other in others:
        name, _, text = other.partition("=")
        wanted[name.strip()] = text
    pixels, colour = read_picture(image, net.config.side)
    if colour and not grey:
        raise click.ClickException(
            f"{image} is to be a grey picture, but has colours; add --grey to read it as grey"
        )
    values = {name: parse_sweep(text, name) for name, text in wanted.items()}
    net.sweep(pixels, **values).save(out)
    click.echo(f"{out}")


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
