"""``pyro-dcign fit``: train a network and say what it learned."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click

from pyro_dcign.config import CHOICES, PRESETS, Config, configure, read_settings
from pyro_dcign.errors import InputError
from pyro_dcign.files import LOCK, locked

if TYPE_CHECKING:
    from pyro_dcign.datasets import Store
    from pyro_dcign.runs import Run
    from pyro_dcign.training import Processes, Record, Trainer

LARGE_BYTES = 15e9
"""GPU memory from which ``large`` is the default: images take 5.4 GB, and a step 2 more."""


def _words(text: str | None, item: type) -> tuple[Any, ...] | None:
    if text is None:
        return None
    try:
        return tuple(item(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers between commas, got {text!r}") from None


_ALIASES = {"handler": ("--clamp",)}
"""Other names of options, as scripts may have them."""


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """One option for each setting of :class:`Config`, all unset by default."""
    # Under python -OO there are no docstrings, and then no help.
    lines = (Config.__doc__ or "").partition("Attributes:")[2].split("\n")
    helps = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    for field in reversed(dataclasses.fields(Config)):
        kind: Any = field.type
        options: dict[str, Any] = {"type": kind}
        if field.name in CHOICES:
            options = {"type": click.Choice(CHOICES[field.name])}
        elif get_origin(kind) is tuple:
            item = get_args(kind)[0]
            options = {"callback": lambda _c, _p, v, item=item: _words(v, item), "metavar": "N,…"}
        option = click.option(
            f"--{field.name.replace('_', '-')}", help=helps.get(field.name), **options
        )
        command = option(command)
    return command


@click.command()
@_settings_options
@click.option("--out", type=click.Path(path_type=Path), help="The new run directory.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with this run.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="Settings from a TOML file."
)
@click.option("--no-report", is_flag=True, help="Train only: no measures and no figures.")
def fit(
    out: Path | None, resume: Path | None, file: Path | None, no_report: bool, **flags: Any
) -> None:
    """Train a network, then print what it learned on identities that it never saw.

    Without --data, heads are rendered first. Without --preset, the network is of the paper's size
    (large) on a GPU of 16 GB or more and otherwise small; both are trained with the exchange in
    place of the paper's clamp, since it reads and edits better (see the README).
    """
    if resume and (out or file):
        raise click.UsageError("--resume goes on with a run as it is; leave out --out and --config")
    given = {key: value for key, value in flags.items() if value is not None}
    from pyro_dcign.runs import write_run_config
    from pyro_dcign.training import Signals, Trainer, is_first, leave

    if given.get("data") == "":
        raise InputError(
            "expected a folder after --data, found an empty name; name one, or leave out --data to "
            "train on heads"
        )
    config = configure({}) if resume else _settings(file, given)
    folder = resume or out or _folder(config)
    if not resume and is_first():
        _refuse_taken(folder)
    with locked(folder) if is_first() else nullcontext():
        run, store, processes = _reopen(folder, given) if resume else _begin(folder, config)
        with Signals() as signals:
            trainer = Trainer(
                run,
                store,
                resume=resume is not None,
                processes=processes,
                signals=signals,
                held=True,
            )
            if processes.first:
                write_run_config(run)
            processes.wait()
            try:
                _train(run, trainer)
            except KeyboardInterrupt:
                _say(f"stopped at once; go on from its last checkpoint with --resume {folder}")
                raise
        leave()
        if signals.heard:
            if processes.first:
                _say(
                    f"stopped at step {trainer.step}; go on with: pyro-dcign fit --resume {folder}"
                )
            sys.exit(128 + signals.heard)
        if no_report and processes.first and (run.folder / "MODEL_CARD.md").is_file():
            _say(
                f"measures, figures and model card in {folder} are of an earlier step; make them "
                f"anew with: pyro-dcign fit --resume {folder}"
            )
        if not no_report and processes.first:
            from pyro_dcign.measures import report, table

            _say("measuring on identities never trained on, and drawing")
            measures = report(run, store)
            click.echo(table(measures))
            _say(f"pictures: {run.figures}   next: pyro-dcign render IMAGE --run {run.folder}")


def _settings(file: Path | None, given: dict[str, Any]) -> Config:
    settings = {**(read_settings(file) if file else {}), **given}
    preset = default_preset(settings.get("device", "auto"))
    return configure({"preset": preset, **settings})


def _folder(config: Config) -> Path:
    name = f"{Path(config.data).name or 'faces'}-{config.preset}-{config.handler}-seed{config.seed}"
    return Path("runs") / name


def _refuse_taken(folder: Path) -> None:
    if (folder / "config.toml").exists():
        raise InputError(
            f"{folder} is to be a new run, but holds one; use --resume {folder} or another --out"
        )
    if folder.is_dir() and {path.name for path in folder.iterdir()} - {LOCK}:
        raise InputError(f"{folder} is to be a new or empty folder, but is not; use another --out")


def _begin(folder: Path, config: Config) -> tuple[Run, Store, Processes]:
    from pyro_dcign.machine import device_of
    from pyro_dcign.runs import build, code_of
    from pyro_dcign.training import join

    device = device_of(config.device)
    processes = join(device)
    if not processes.first:
        processes.wait()  # for the first one's data
    else:
        _refuse_taken(folder)  # again, now that nobody else can begin here
    store = _data(config, device.type)
    if processes.first:
        processes.wait()
    # The whole path: a relative one would name other data from another working directory.
    config = dataclasses.replace(config, data=str(store.folder.resolve()))
    code_of(config, store.factors)
    run = build(folder, config, store.factors)
    parameters = sum(p.numel() for p in run.modules.parameters())
    if processes.first:
        several = f" in {processes.count} processes" if processes.count > 1 else ""
        _say(
            f"{config.preset} network, {parameters:,} parameters, on {device.type}{several}; "
            f"handler {config.handler}, {config.steps} steps into {folder}"
        )
        if config.periodic_latents > 1 and not any(r.period for r in store.factors.values()):
            _say(
                f"--periodic-latents {config.periodic_latents} has no effect: no factor of "
                f"{store.folder} has a period; declare one at import, as --period azimuth=360"
            )
    return run, store, processes


def _reopen(folder: Path, given: dict[str, Any]) -> tuple[Run, Store, Processes]:
    from pyro_dcign.datasets import Store
    from pyro_dcign.runs import untrained_run
    from pyro_dcign.training import MAY_CHANGE, join, take_own_gpu

    take_own_gpu()
    run = untrained_run(folder, trusted=[given.get("guide", "")])
    checked = configure({"preset": run.config.preset, **given})
    differing = [
        key
        for key in given
        if key not in MAY_CHANGE and getattr(checked, key) != getattr(run.config, key)
    ]
    if differing:
        pairs = "; ".join(f"{k} {getattr(run.config, k)!r}, not {given[k]!r}" for k in differing)
        raise InputError(f"{folder} was begun with {pairs}; leave those options out, or begin anew")
    if given:
        changed = {key: getattr(checked, key) for key in given if key in MAY_CHANGE}
        run = dataclasses.replace(run, config=dataclasses.replace(run.config, **changed))
    where = Path(run.config.data).resolve()
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, data=str(where)))
    return run, Store.open(where), join(run.device)


def default_preset(device: str = "auto") -> str:
    """What is trained where no preset is named: ``large`` on a GPU with the memory for it."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "small"
    return "large" if torch.cuda.mem_get_info()[1] >= LARGE_BYTES else "small"


def _data(config: Config, device: str) -> Store:
    from pyro_dcign.datasets import LARGE_TEST, LARGE_TRAIN, Store, ensure_faces

    if config.data:
        return Store.open(config.data)
    folder, side = Path("data"), config.side
    if device == "cpu" or side <= PRESETS["small"].side:
        return ensure_faces(folder / f"faces-{side}", side=side, device=device)
    # A GPU renders as many as the paper has into its memory in seconds; a plan is on the disk.
    return ensure_faces(
        folder / f"faces-{side}-{LARGE_TRAIN}-{LARGE_TEST}",
        side=side,
        train=LARGE_TRAIN,
        intrinsic=LARGE_TRAIN,
        test=LARGE_TEST,
        stored=False,
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _losses(record: Record, elbo: float | None) -> str:
    parts = [f"{name} {t['reconstruction']:.0f}+{t['kl']:.0f}" for name, t in record.train.items()]
    return "  ".join(parts) + (f"  test ELBO {elbo:.0f}" if elbo is not None else "")


def _train(run: Run, trainer: Trainer) -> None:
    """Follow the records: a bar on a terminal, a line every ten seconds elsewhere."""
    from tqdm import tqdm

    if not trainer.processes.first:
        for _ in trainer.records():
            pass
        return
    first, before, seen, elbo = trainer.step, trainer.seconds, {}, None
    terminal = sys.stderr.isatty()
    if not terminal:
        _say("reconstruction + KL of an image, in nats, by the factor that varies:")
    due = time.monotonic() + 2
    with tqdm(total=run.config.steps, initial=first, unit=" steps", disable=not terminal) as bar:
        for record in trainer.records():
            seen.update(record.train)
            elbo = record.test.get("elbo", elbo)
            text = _losses(dataclasses.replace(record, train=seen), elbo)
            bar.update(record.step - bar.n)
            bar.set_postfix_str(text, refresh=False)
            if not terminal and (time.monotonic() >= due or record.step == run.config.steps):
                due = time.monotonic() + 10
                pace = (record.seconds - before) / (record.step - first)
                left = pace * (run.config.steps - record.step)
                _say(f"{record.step} of {run.config.steps} steps, {left:.0f} s left  {text}")
