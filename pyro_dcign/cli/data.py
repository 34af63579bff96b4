"""``pyro-dcign data``: make, import, check and show data sets."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_dcign.errors import InputError, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyro_dcign.datasets import Store

FOLDER = click.Path(path_type=Path)
SCENES = ("faces", "chairs")
"""Scenes that ``make`` offers."""


@click.group()
def data() -> None:
    """Make, import, check and show data sets of typed minibatches."""


@data.command()
@click.argument("scene", type=click.Choice(SCENES))
@click.argument("out", type=FOLDER)
@click.option("--side", type=int, help="Height and width, in pixels [default: 64; chairs: 150].")
@click.option(
    "--minibatches",
    type=int,
    help="Minibatches to train on of each extrinsic type, and of pose [default: 250; paper: 3000].",
)
@click.option(
    "--intrinsic",
    type=int,
    help="Minibatches of the intrinsic type to train on [default: three times --minibatches].",
)
@click.option(
    "--test",
    type=int,
    help="Minibatches of each type to test on [default: 25; paper: 350].",
)
@click.option(
    "--types",
    default="",
    metavar="TYPE=N,…",
    help="Another number to train on for some types, as pose=500,azimuth+light=100.",
)
@click.option(
    "--chairs",
    type=int,
    help="Chairs to show, in all their 62 views unless --minibatches is given [default: 1357].",
)
@click.option(
    "--plain",
    is_flag=True,
    help="Faces as the paper has them: heads alone before a black ground, in one framing.",
)
@click.option("--bfm", type=FOLDER, help="Faces of this Basel Face Model, .mat or .h5.")
@click.option("--ict", type=FOLDER, help="Faces of ICT-FaceKit in this folder.")
@click.option(
    "--plan-only",
    is_flag=True,
    help="Write down what to render; a fit renders it into memory, on a GPU where there is one.",
)
@click.option("--seed", default=0, show_default=True, help="Of every draw.")
@click.option("--workers", type=int, help="Processes [default: one for each core].")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where to render.",
)
def make(
    *,
    scene: str,
    out: Path,
    side: int | None,
    minibatches: int | None,
    intrinsic: int | None,
    test: int | None,
    types: str,
    chairs: int | None,
    plain: bool,
    bfm: Path | None,
    ict: Path | None,
    plan_only: bool,
    seed: int,
    workers: int | None,
    device: str,
) -> None:
    """Render the typed minibatches of SCENE into the new folder OUT.

    Faces are people with hair, clothes and glasses, in many lights and framings and before many
    grounds; with --plain, heads alone. Faces of --bfm and --ict are plain. A type is the set of
    factors that vary in a minibatch: each factor alone, or pose, in which all but the identity do.
    The seed alone decides what is shown. Interrupted work goes on where it stopped. Chairs come as
    the paper's set, 1,357 of them at 31 azimuths and two elevations; --minibatches draws from it.
    """
    from pyro_dcign.datasets import Recipe, all_chairs, counts, ensure, scene_loader, with_types
    from pyro_dcign.scenes import CHAIRS
    from pyro_dcign.varying import standard_types

    for option, value, least in (
        ("--side", side, 8),
        ("--minibatches", minibatches, 0),
        ("--intrinsic", intrinsic, 0),
        ("--test", test, 0),
        ("--seed", seed, 0),
        ("--workers", workers, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"expected {option} of {least} or more, found {value}; raise it")
    if chairs is not None and scene != "chairs":
        raise InputError("expected --chairs with the scene chairs only; leave it out")
    models = {name: path for name, path in (("bfm", bfm), ("ict", ict)) if path is not None}
    if len(models) > 1 or (models and scene != "faces"):
        raise InputError("expected one of --bfm and --ict, with the scene faces; leave one out")
    if plain and scene != "faces":
        raise InputError("expected --plain with the scene faces only; leave it out")
    named = "people" if scene == "faces" and not plain else scene
    device = _device(device)
    load = scene_loader(named, device)
    for named, path in models.items():
        load = scene_loader(named, device, path=path)
    example = load()
    model = getattr(example, "digest", "")
    drawn = bool(types) or (minibatches, intrinsic, test) != (None, None, None)
    train = 250 if minibatches is None else minibatches
    test = 25 if test is None else test
    number = counts(
        standard_types(example.factors),
        train=train,
        intrinsic=3 * train if intrinsic is None else intrinsic,
        test=test,
    )
    number = with_types(number, types, tuple(example.factors), test=test)
    if scene == "chairs":
        sizes: dict[str, int] = {} if side is None else {"side": side}
        recipe = all_chairs(chairs=CHAIRS if chairs is None else chairs, seed=seed, **sizes)
        if drawn:
            recipe = replace(recipe, minibatches=number, plan="drawn")
    else:
        side = 64 if side is None else side
        recipe = Recipe(named, number, side=side, seed=seed, model=model)
    recipe = replace(recipe, stored=not plan_only)
    store = ensure(out, recipe, load, workers=workers, device=device)
    click.echo(_described(store))


@data.command("import")
@click.argument("kind")
@click.argument("src", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--factors", help="Extrinsic factors, as azimuth,elevation [default: the kind's].")
@click.option("--side", type=int, help="Height and width to store [default: the set's own].")
@click.option("--size", default=20, show_default=True, help="Images in a minibatch.")
@click.option(
    "--minibatches",
    default=3000,
    show_default=True,
    help="Most minibatches to train on of each extrinsic type, and of pose.",
)
@click.option("--intrinsic", type=int, help="Most of the intrinsic type [default: as many].")
@click.option("--test", default=350, show_default=True, help="Most of each type to test on.")
@click.option(
    "--types",
    default="",
    metavar="TYPE=N,…",
    help="Another number to train on for some types, as pose=500,azimuth+light=100.",
)
@click.option(
    "--test-fraction",
    default=0.1,
    show_default=True,
    help="Share of the things shown that is kept for the test, unless the set is split already.",
)
@click.option(
    "--tolerance",
    default=0.0,
    show_default=True,
    help="How far held factors may stray within a minibatch, in their own units.",
)
@click.option("--seed", default=0, show_default=True, help="Of the split and the draws.")
def import_(
    *,
    kind: str,
    src: Path,
    out: Path,
    factors: str | None,
    side: int | None,
    size: int,
    minibatches: int,
    intrinsic: int | None,
    test: int,
    types: str,
    test_fraction: float,
    tolerance: float,
    seed: int,
) -> None:
    """Import the set SRC of someone's format KIND into the new folder OUT.

    KIND is aubry, torch7, smallnorb, 3dshapes, dsprites, mpi3d, cars3d, npz or folder. Factors that
    the graphics code leaves out become part of the identity.
    """
    from pyro_dcign.datasets import bring

    for option, value in (
        ("--minibatches", minibatches),
        ("--intrinsic", intrinsic),
        ("--test", test),
        ("--seed", seed),
        ("--tolerance", tolerance),
    ):
        if value is not None and not 0 <= value < 1e9:
            raise InputError(f"expected {option} from 0 to 1e9, found {value}; change it")
    names = None
    if factors is not None:
        names = [name.strip() for name in factors.split(",") if name.strip()]
    store = bring(
        kind,
        src,
        out,
        factors=names,
        side=side,
        size=size,
        minibatches=minibatches,
        intrinsic=intrinsic,
        test=test,
        types=types,
        test_fraction=test_fraction,
        tolerance=tolerance,
        seed=seed,
    )
    click.echo(_described(store))


@data.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FOLDER, help="Contact sheet to write, a PNG.")
@click.option("--rows", default=2, show_default=True, help="Minibatches of each type in it.")
@click.option("--columns", default=12, show_default=True, help="Images of a minibatch in it.")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(
    *, folder: Path, out: Path | None, rows: int, columns: int, split: str, as_json: bool
) -> None:
    """Say what the data in FOLDER hold, and draw a contact sheet of them."""
    from pyro_dcign.datasets import Store, contact_sheet, save_picture, summary

    if rows < 1 or columns < 1:
        raise InputError(
            f"expected --rows and --columns of 1 or more, found {rows} and {columns}; raise them"
        )
    store = Store.open(folder)
    if out is not None:
        save_picture(contact_sheet(store, rows=rows, columns=columns, split=split), out)
    click.echo(json.dumps(summary(store)) if as_json else _described(store))
    if out is not None and not as_json:
        click.echo(f"contact sheet: {out}")


@data.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(folder: Path, as_json: bool) -> None:
    """Read every byte of the data in FOLDER and test what they promise.

    In each minibatch nothing varies but the factors of its type, values lie in their ranges, no
    identity is in both splits, no image is blank, no file has changed. Exit status 2 if anything is
    wrong.
    """
    from pyro_dcign.datasets import Store
    from pyro_dcign.datasets import check as check_store

    store = Store.open(folder)
    report = check_store(store)
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    elif not report.problems:
        click.echo(f"{_described(store)}\nall is well")
    else:
        for problem in report.problems:
            click.echo(problem)
    if report.problems:
        raise InputError(
            f"expected {folder} to keep its promises, found {len(report.problems)} broken, first: "
            f"{report.problems[0]}; make or fetch the data again"
        )


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("expected a CUDA device for --device cuda, found none; use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def _described(store: "Store") -> str:
    """What a store holds, in a few lines."""
    from pyro_dcign.datasets import summary

    found: dict[str, Any] = summary(store)
    stored = store.manifest.recipe.get("stored", True)
    lines = [
        f"{store.folder}: images of {store.side} by {store.side}, {store.size} a minibatch, "
        f"{store.bytes / 1e6:.1f} MB{'' if stored else ' to be rendered where they are used'}"
    ]
    lines.append(_origin(store.manifest.recipe))
    if store.manifest.tolerance:
        lines.append(f"held factors stray by up to {store.manifest.tolerance:g}")
    for name, limits in store.factors.items():
        grid = f", {len(limits.values)} values" if limits.values else ""
        circle = f", period {limits.period:g}" if limits.period else ""
        known = "" if store.manifest.labelled else " (true values unknown)"
        lines.append(f"{name}: {limits.low:g} to {limits.high:g}{grid}{circle}{known}")
    for split, numbers in found["minibatches"].items():
        listed = ", ".join(f"{number} {varying}" for varying, number in numbers.items())
        lines.append(f"minibatches to {split}: {listed}")
    people = ", ".join(f"{n} to {split}" for split, n in found["identities"].items())
    lines.append(f"identities: {people}")
    return "\n".join(lines)


def _origin(recipe: "Mapping[str, Any]") -> str:
    """Where a store comes from, as far as its recipe says."""
    if "imported" in recipe:
        return plain(f"imported: {recipe['imported']} from {recipe.get('from', 'somewhere')}", 160)
    if "scene" in recipe:
        found = f"rendered: {recipe['scene']}, seed {recipe.get('seed')}, {recipe.get('plan')}"
        return plain(found, 160)
    return "made by hand"
