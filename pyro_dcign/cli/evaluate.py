"""``pyro-dcign evaluate``: the measures of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyro_dcign.cli import options

if TYPE_CHECKING:
    from pyro_dcign.datasets import EvaluationSet
    from pyro_dcign.runs import Run


def images_of(run: "Run", data: Path | None) -> "EvaluationSet":
    """The test split of a folder, all images of a FILE.npz, or the test split of the run's own.

    Raises:
        ClickException: None is named, and the run's own data are not here.
    """
    from pyro_dcign.datasets import Store, evaluation_set, read_npz

    own = Path(run.config.data) if run.config.data else None
    if data is None and (own is None or not own.is_dir()):
        raise click.ClickException(
            f"{run.folder} was trained on {str(own or 'data of its own')!r}, which is not here; "
            "name a folder or FILE.npz with --data"
        )
    chosen = data or own
    assert chosen is not None
    return read_npz(chosen) if chosen.is_file() else evaluation_set(Store.open(chosen))


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

    On images of identities that it was not trained on: the test split of a folder, or all images of
    a FILE.npz. Nothing is trained or written, but the calibration where RUN has none.
    """
    import json

    from pyro_dcign.measures import evaluate as measure
    from pyro_dcign.measures import open_calibration, table
    from pyro_dcign.runs import best_checkpoint, load_parameters, load_prior, open_run

    opened = open_run(run, device=device, guide=guide)
    load_parameters(opened, best_checkpoint(run) if checkpoint == "best" else None)
    load_prior(opened)
    measures = measure(opened, images_of(opened, data), open_calibration(opened))
    click.echo(json.dumps(measures, allow_nan=False) if as_json else table(measures))
