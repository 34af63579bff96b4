"""``pyro-dcign explore``: a page in which a network is turned by hand."""

from pathlib import Path

import click

from pyro_dcign.cli import options


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The page, PAGE.html.")
@click.option(
    "--picture",
    "pictures",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A picture to offer in the page; may be given again.  [default: twelve heads]",
)
@options.guide
def explore(run: Path | None, out: Path, pictures: tuple[Path, ...], guide: str | None) -> None:
    """Write one HTML file with the knobs of RUN, which opens without a server or a network.

    Without RUN it is the shipped network's. Needs the packages of pyro-dcign[onnx].
    """
    from pyro_dcign.explorer import write_page
    from pyro_dcign.runs import default_run, load_run

    if not out.parent.is_dir():
        raise click.ClickException(f"--out is in a folder, {out.parent} is none; make it first")
    opened = load_run(run or default_run(), device="cpu", guide=guide)
    write_page(opened, out, pictures=pictures)
    click.echo(f"{out}")
