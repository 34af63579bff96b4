"""``pyro-dcign evaluate``: the measures of a run."""

from pathlib import Path

import click

from pyro_dcign.cli import options

EVALUATION = "evaluation.json"
"""What the last ``evaluate`` of a run found."""


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
    guide: str | None,
    device: str,
    checkpoint: str,
    as_json: bool,
) -> None:
    """Measure how well RUN reconstructs, disentangles and edits.

    On the test split of a folder, or on all images of a FILE.npz; it says whether RUN is known to
    have been trained on whom they show. Nothing is trained. Writes RUN/evaluation.json, and the
    calibration where RUN has none of these parameters.
    """
    import json

    from pyro_dcign.files import write_whole
    from pyro_dcign.network import load
    from pyro_dcign.runs import FOLDER

    net = load(run, device=device, guide=guide, checkpoint=checkpoint)
    measures = net.evaluate(data)
    if (run / FOLDER).is_dir():  # not the network that is installed with the package
        said = {"checkpoint": checkpoint, "data": str(data or net.config.data), **measures}
        write_whole(run / EVALUATION, json.dumps(said, indent=1, allow_nan=False) + "\n")
    click.echo(json.dumps(measures, allow_nan=False) if as_json else str(measures))
