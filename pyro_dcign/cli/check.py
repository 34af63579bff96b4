"""``pyro-dcign check``: is the posterior right?"""

from pathlib import Path

import click

from pyro_dcign.cli import options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@options.data
@click.option("--images", type=click.IntRange(1), help="Images for k̂.  [default: 64]")
@click.option("--draws", type=click.IntRange(100), help="Draws of each.  [default: 1000]")
@click.option("--simulations", type=click.IntRange(20), help="For SBC.  [default: 400]")
@click.option("--nuts", type=click.IntRange(0), help="Images that NUTS runs on.  [default: 2]")
@click.option(
    "--means", type=click.IntRange(1), help="Images for the aggregate posterior.  [default: 2500]"
)
@click.option(
    "--nuts-draws", type=click.IntRange(20), help="Draws of each of two chains.  [default: 150]"
)
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@options.guide
@options.device
@options.as_json
def check(
    run: Path,
    *,
    data: Path | None,
    images: int | None,
    draws: int | None,
    simulations: int | None,
    nuts: int | None,
    nuts_draws: int | None,
    means: int | None,
    seed: int,
    device: str,
    guide: str | None,
    as_json: bool,
) -> None:
    """Say in plain words whether RUN's posterior is right.

    On images of identities that it was not trained on: k̂ and the importance-weighted bound, the
    amortisation gap, simulation-based calibration, NUTS with the decoder fixed, the aggregate
    posterior, and how often true values lie in its intervals. Nothing is trained. Writes
    RUN/posterior.nc (ArviZ), RUN/check.npz and RUN/figures/check-*.png.
    """
    import json
    from dataclasses import replace

    import torch

    from pyro_dcign.network import load
    from pyro_dcign.posterior import FILE, arviz_bridge, posterior_data, write_check_figures

    net = load(run, device=device, guide=guide)
    chosen = net.test_images(data)
    given = {
        "images": images,
        "draws": draws,
        "simulations": simulations,
        "reference": nuts,
        "reference_draws": nuts_draws,
        "means": means,
    }
    effort = {name: value for name, value in given.items() if value is not None}
    found = net.check(chosen, seed=seed, progress=True, **effort)
    found.findings.save(run / "check.npz")
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:100]
    kept = replace(
        chosen,
        pixels=chosen.pixels[order],
        factors={name: values[order] for name, values in chosen.factors.items()},
        identity=chosen.identity[order],
    )
    arviz_bridge.save(posterior_data(net.run, kept, draws=200, seed=seed), run / FILE)
    figures = write_check_figures(found.findings, net.run.figures)
    if as_json:
        verdicts = [vars(v) | {"figures": dict(v.figures)} for v in found.verdicts]
        said = {"run": str(run), "arviz": arviz_bridge.VERSION, "flagged": found.flagged}
        click.echo(json.dumps({**said, "verdicts": verdicts}, allow_nan=False))
    else:
        click.echo(str(found))
        click.echo(f"\n{run / FILE} (ArviZ); pictures: {', '.join(p.name for p in figures)}")
