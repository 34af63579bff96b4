"""``pyro-dcign evaluate``: the measures of a run."""

from pathlib import Path

import click

from pyro_dcign.cli import options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@options.data
@options.guide
@options.device
@click.option(
    "--checkpoint",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Which of RUN's: the newest, or the one with the highest test ELBO.",
)
@options.as_json
def evaluate(
    run: Path,
    *,
    data: Path | None,
    guide: tuple[str, ...],
    device: str,
    checkpoint: str,
    as_json: bool,
) -> None:
    """Measure how well RUN reconstructs, disentangles and edits.

    On images of identities that it was not trained on: the test split of a folder, or all images of
    a FILE.npz. Nothing is trained or written, but the calibration where RUN has none.
    """
    import json

    from pyro_dcign.network import load

    net = load(run, device=device, trusted=guide, checkpoint=checkpoint)
    measures = net.evaluate(data)
    click.echo(json.dumps(measures, allow_nan=False) if as_json else str(measures))
