"""Options that several commands have, each in the same words."""

from pathlib import Path

import click

data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of typed minibatches, or FILE.npz of labelled images.  [default: the run's own]",
)
guide = click.option(
    "--guide",
    metavar="NAME",
    help="Read RUN with this guide of the same parameters: laplace where it was trained with "
    "mean_field. A guide from a file or module is code, which you trust.  [default: RUN's]",
)
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
)
