"""``pyro-dcign compare``: guides, or runs, in one table."""

from pathlib import Path
from typing import Any

import click

from pyro_dcign.cli import options
from pyro_dcign.config import CHOICES

SETTINGS = ("preset", "handler", "ratio", "strength", "likelihood", "steps", "device")


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--guides", metavar="A,B,…", help="Guides to train.  [default: all but auto]")
@click.option("--seeds", default="0", show_default=True, metavar="N,…", help="Seeds of each.")
@click.option("--steps", type=click.IntRange(1), help="Updates of each run.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of typed minibatches.  [default: faces, made when missing]",
)
@click.option("--preset", help="Network.  [default: small]")
@click.option(
    "--handler", "--clamp", "handler", type=click.Choice(["mean", "first", "exchange", "none"])
)
@click.option("--ratio", help="Minibatches drawn, extrinsic : intrinsic.")
@click.option("--strength", type=float, help="Factor of the mean pull.")
@click.option("--likelihood", type=click.Choice(CHOICES["likelihood"]), help="Of x.")
@click.option(
    "--guide",
    "trusted",
    metavar="NAME",
    multiple=True,
    help="A guide of RUNs that is code from a file or module, which you trust.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Other settings, a TOML.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/compare"),
    show_default=True,
    help="Folder of the runs, comparison.csv, .json, .md and .png.",
)
@options.as_json
def compare(
    *,
    runs: tuple[Path, ...],
    guides: str | None,
    seeds: str,
    data: Path | None,
    file: Path | None,
    out: Path,
    trusted: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Compare guides on the same data, seeds, order and number of steps; or the RUNs named.

    Runs that were measured before are read, not trained again, so more seeds can be added later.
    """
    import json

    from pyro_dcign.config import configure, read_settings
    from pyro_dcign.datasets import Store, ensure_faces, evaluation_set
    from pyro_dcign.files import write_whole
    from pyro_dcign.measures import (
        GUIDES,
        as_csv,
        as_table,
        comparison,
        fit_and_measure,
        measure_run,
        save,
        summarise,
    )

    def say(text: str) -> None:
        click.echo(text, err=True)

    if runs and (guides or file or any(value is not None for value in given.values())):
        raise click.UsageError("RUNs are compared as they are; leave out the settings, or the RUNs")
    if runs:
        images = evaluation_set(Store.open(data)) if data else None
        rows = [measure_run(run, images, trusted=trusted) for run in runs]
    else:
        settings = read_settings(file) if file else {}
        settings |= {name: given[name] for name in SETTINGS if given[name] is not None}
        config = configure({"preset": "small", **settings})
        folder = data or Path("data") / f"faces-{config.side}"
        store = Store.open(folder) if data else ensure_faces(folder, side=config.side)
        names = guides.split(",") if guides else list(GUIDES)
        rows = fit_and_measure(config, store, names, _seeds(seeds), out, say=say)
    summary = summarise(rows)
    out.mkdir(parents=True, exist_ok=True)
    found = json.dumps({"summary": summary, "runs": rows}, indent=1)
    write_whole(out / "comparison.json", found + "\n")
    write_whole(out / "comparison.csv", as_csv(rows))
    write_whole(out / "comparison.md", as_table(summary) + "\n")
    save(comparison(rows, summary), out / "comparison.png")
    click.echo(found if as_json else as_table(summary))


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise click.BadParameter(
            f"--seeds is whole numbers between commas, each once, got {text!r}"
        )
    return seeds
