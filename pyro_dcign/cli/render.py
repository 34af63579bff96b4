"""``pyro-dcign render``: new views of a picture."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyro_dcign.cli import options
from pyro_dcign.errors import InputError

if TYPE_CHECKING:  # --help must not load torch
    from pyro_dcign.code import FactorRange


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
@click.option("--grey", is_flag=True, help="Read a picture in colour as grey (Rec. 709 luma).")
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
    import torch

    from pyro_dcign.files import read_picture
    from pyro_dcign.images import intensities
    from pyro_dcign.measures import (
        frames,
        open_calibration,
        strip,
        sweep,
        sweep_values,
        write_pictures,
    )
    from pyro_dcign.runs import decode, default_run, encode, load_parameters, load_prior, open_run

    out = out or Path(f"{image.stem}-views.png")
    if out.suffix.lower() not in (".png", ".gif"):
        raise click.ClickException(f"--out is FILE.png or FILE.gif, got {out}; change its ending")
    if not out.parent.is_dir():
        raise click.ClickException(f"--out is in a folder, {out.parent} is none; make it first")
    opened = open_run(run or default_run(), device=device, guide=guide)
    wanted = {name: text for name, text in named.items() if text is not None}
    for other in others:
        name, _, text = other.partition("=")
        wanted[name.strip()] = text
    unknown = [name for name in wanted if name not in opened.factors]
    if unknown:
        raise click.ClickException(
            f"factors are {', '.join(opened.factors)}, got {unknown[0]!r}; use one of the run's"
        )
    values = {name: parse_sweep(text, name, opened.factors[name]) for name, text in wanted.items()}
    pixels, colour = read_picture(image, opened.config.side)
    if colour and not grey:
        raise click.ClickException(
            f"{image} is to be a grey picture, but has colours; add --grey to read it as grey"
        )
    load_parameters(opened)
    load_prior(opened)
    calibration = open_calibration(opened)
    values = values or {n: sweep_values(opened.factors[n]) for n in calibration.curves}
    if not values:
        raise click.ClickException(
            f"{opened.folder} has no calibrated factor; fit on labelled data"
        )
    views = {
        name: (chosen, sweep(opened, calibration, pixels, name, torch.tensor(chosen)))
        for name, chosen in values.items()
    }
    original = intensities(pixels.unsqueeze(0))
    if out.suffix.lower() == ".gif":
        pictures = frames(original, views)
    else:
        pictures = [strip(original, decode(opened, encode(opened, pixels.unsqueeze(0))), views)]
    write_pictures(pictures, out)
    click.echo(f"{out}")


MAX_VIEWS = 64


def parse_sweep(text: str, factor: str, limits: "FactorRange") -> list[float]:
    """Values of ``START:STOP:COUNT`` or of a list with commas, in degrees for angles.

    Raises:
        InputError: Not of that form, more than 64 values, or values that were not trained on.
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
    outside = [v for v in values if not limits.low - 1e-6 <= v <= limits.high + 1e-6]
    if outside and not limits.period:
        raise InputError(
            f"{factor} was trained from {limits.low:g} to {limits.high:g}, got {outside[0]:g}; "
            "stay inside"
        )
    return values
