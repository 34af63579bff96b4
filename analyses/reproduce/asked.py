"""What every experiment is asked on the command line."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from pyro_dcign.errors import InputError

ANALYSES = Path(__file__).parents[1]


@dataclass
class Options:
    """What every experiment is asked on the command line."""

    device: str = "auto"
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int | None = None
    minutes: float | None = None
    only: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    into: Path = ANALYSES
    work: Path = Path("runs/reproduce")
    pack: Path | None = None
    workers: int = 3
    estimate: bool = False
    train: int | None = None
    test: int = 75


def options(command: Callable[..., None]) -> Any:
    """The options of an experiment as the command's one argument."""

    def called(**given: Any) -> None:
        seeds = tuple(int(part) for part in given.pop("seeds").split(","))
        only = tuple(part for part in (given.pop("only") or "").split(",") if part)
        changes: dict[str, Any] = {}
        for text in given.pop("set"):
            changes |= _toml(text)
        try:
            command(Options(seeds=seeds, only=only, changes=changes, **given))
        except InputError as error:
            raise click.ClickException(str(error)) from None

    called.__doc__ = command.__doc__
    path = click.Path(path_type=Path)
    for option in (
        click.option("--device", default="auto", show_default=True),
        click.option("--seeds", default="0,1,2", show_default=True, metavar="N,…"),
        click.option("--steps", type=int, help="Updates of each run, in place of its config's."),
        click.option("--minutes", type=float, help="Stop cleanly after so many."),
        click.option("--only", metavar="ROW,…", help="Rows to run."),
        click.option("--set", multiple=True, metavar="KEY=VALUE", help="A setting of every row."),
        click.option("--train", type=int, help="Minibatches of each type to train on."),
        click.option("--test", default=75, show_default=True, help="And to test on."),
        click.option("--into", type=path, default=ANALYSES, help="Folder of what is kept."),
        click.option("--work", type=path, default=Path("runs/reproduce"), help="Of the runs."),
        click.option("--pack", type=path, help="Also pack what this call made into this folder."),
        click.option("--workers", default=3, show_default=True, help="Processes that measure."),
        click.option("--estimate", is_flag=True, help="Say how long the rows take, and stop."),
    ):
        called = option(called)
    return click.command(help=command.__doc__)(called)


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise click.ClickException(f"--set is KEY=VALUE as in TOML: {error}") from None
