"""``pyro-dcign evaluate``: the measures of a run."""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of typed minibatches, or FILE.npz of labelled images.  [default: the run's own]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def evaluate(run: Path, data: Path | None, device: str, as_json: bool) -> None:
    """Measure how well RUN reconstructs, disentangles and edits.

    On images of identities that it was not trained on: the test split of a folder, or all images of
    a FILE.npz. Nothing is trained or written, but the calibration where RUN has none.
    """
    import json

    from pyro_dcign.calibration import open_calibration
    from pyro_dcign.checkpoint import load_parameters
    from pyro_dcign.datasets.plain import evaluation_set, read_npz
    from pyro_dcign.datasets.store import Store
    from pyro_dcign.evaluate import evaluate as measure
    from pyro_dcign.run import open_run
    from pyro_dcign.table import table

    opened = open_run(run, device=device)
    load_parameters(opened)
    own = Path(opened.config.data) if opened.config.data else None
    if data is None and (own is None or not own.is_dir()):
        raise click.ClickException(
            f"{run} was trained on {str(own or 'data of its own')!r}, which is not here; "
            "name a folder or FILE.npz with --data"
        )
    chosen = data or own
    assert chosen is not None
    images = read_npz(chosen) if chosen.is_file() else evaluation_set(Store.open(chosen))
    measures = measure(opened, images, open_calibration(opened))
    click.echo(json.dumps(measures, allow_nan=False) if as_json else table(measures))
