"""``pyro-dcign export``: a network as ONNX files."""

from pathlib import Path

import click

from pyro_dcign.cli import options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@options.guide
def export(run: Path, out: Path, guide: str | None) -> None:
    """Write RUN's networks to the folder OUT as reader.onnx and renderer.onnx.

    The reader gives the posterior's location and scale of a picture, the renderer the picture of a
    code. Needs the packages of pyro-dcign[onnx].
    """
    from pyro_dcign.explorer import export_onnx
    from pyro_dcign.runs import load_run

    opened = load_run(run, device="cpu", guide=guide)
    for path in export_onnx(opened, out):
        click.echo(f"{path}")
