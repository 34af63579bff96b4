"""``pyro-dcign bench``: how fast a training step is here, beside what a user could run instead."""

from pathlib import Path

import click

from pyro_dcign.cli import options
from pyro_dcign.config import CHOICES
from pyro_dcign.errors import InputError


@click.command()
@click.option("--preset", type=click.Choice(CHOICES["preset"]), help="paper on a GPU, else small.")
@click.option("--device", type=click.Choice(CHOICES["device"]), default="auto", help="Where.")
@click.option(
    "--precision", type=click.Choice(CHOICES["precision"]), default="auto", help="Of ours."
)
@click.option("--minibatches", default="", help="Of each step, as 1,16; of 20 images each.")
@click.option("--seconds", type=float, default=3.0, show_default=True, help="For each rival.")
@click.option("--quick", is_flag=True, help="One minibatch a step, half a second a rival.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the ratios into this file.")
@options.as_json
def bench(
    preset: str | None,
    device: str,
    precision: str,
    minibatches: str,
    seconds: float,
    quick: bool,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Time a training step beside plain Pyro, plain PyTorch and PyTorch with our tricks.

    pythae and disent join them where they are installed (pyro-dcign[peers]). All get the same
    network and images of noise, and take the paper's step (clamp to the mean, Bernoulli, Adam);
    those two know no clamp. Ratios come first: how many times ours a rival takes.
    """
    import json

    import torch

    from pyro_dcign.training.bench import compare, machine, table
    from pyro_dcign.config import configure
    from pyro_dcign.runs.run import device_of

    preset = preset or ("paper" if torch.cuda.is_available() else "small")
    settings = {"preset": preset, "device": device, "precision": precision}
    config = configure(settings)
    cuda = device_of(config).type == "cuda"
    try:
        numbers = [int(word) for word in minibatches.split(",") if word]
    except ValueError:
        numbers = [0]
    if not numbers and not minibatches:
        numbers = [1] if quick else [1, 16] if cuda else [1, 4]
    if min(numbers, default=0) < 1:
        raise InputError(
            f"expected numbers such as 1,16 for --minibatches, got {minibatches!r}; mend them"
        )
    if not 0 < seconds < 3600:
        raise InputError(f"expected 0 to 3600 seconds, got {seconds}; mend --seconds")
    results = []
    for number in numbers:
        if not as_json:
            click.echo(f"measuring steps of {20 * number} images", err=True)
        results.append(compare(config, number, seconds=min(seconds, 0.5) if quick else seconds))
    found = {**machine(torch.device("cuda" if cuda else "cpu")), **settings, "results": results}
    if figure:
        from pyro_dcign.measures.figures.speed import draw_ratios

        draw_ratios(results, figure)
    if as_json:
        click.echo(json.dumps(found))
        return
    where = f"{found['device']}, " + ("" if cuda else f"{found['threads']} threads, ")
    click.echo(f"{config.preset} network, {where}torch {found['torch']}; medians")
    click.echo(table(results))
