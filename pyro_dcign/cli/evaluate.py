"""``pyro-dcign evaluate``: the measures of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyro_dcign.cli import options

if TYPE_CHECKING:
    from pyro_dcign.datasets import EvaluationSet
    from pyro_dcign.runs import Run


EVALUATION = "evaluation.json"
"""What the last ``evaluate`` of a run found."""


def images_of(run: "Run", data: Path | None) -> "EvaluationSet":
    """The test split of a folder, all images of a FILE.npz, or the test split of the run's own.

    Raises:
        ClickException: None is named, and the run's own data are not here.
        InputError: None is named, and other data lie where the run's were.
    """
    from pyro_dcign.datasets import Store, evaluation_set, read_npz
    from pyro_dcign.runs import own_store

    if data is not None:
        return read_npz(data) if data.is_file() else evaluation_set(Store.open(data))
    store = own_store(run)
    if store is None:
        raise click.ClickException(
            f"{run.folder} was trained on {run.config.data or 'data of its own'!r}, which is not "
            "here; name a folder or FILE.npz with --data"
        )
    return evaluation_set(store)


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

    On the test split of a folder, or on all images of a FILE.npz; it says whether RUN is known to
    have been trained on whom they show. Nothing is trained. Writes RUN/evaluation.json, and the
    calibration where RUN has none of these parameters.
    """
    import json

    from pyro_dcign.files import write_whole
    from pyro_dcign.measures import evaluate as measure
    from pyro_dcign.measures import open_calibration, table
    from pyro_dcign.runs import FOLDER, best_checkpoint, load_parameters, open_run

    opened = open_run(run, device=device, trusted=guide)
    load_parameters(opened, best_checkpoint(run) if checkpoint == "best" else None)
    measures = measure(opened, images_of(opened, data), open_calibration(opened))
    if (run / FOLDER).is_dir():  # not the network that is installed with the package
        said = {"checkpoint": checkpoint, "data": str(data or opened.config.data), **measures}
        write_whole(run / EVALUATION, json.dumps(said, indent=1, allow_nan=False) + "\n")
    click.echo(json.dumps(measures, allow_nan=False) if as_json else table(measures))
