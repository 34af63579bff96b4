"""An experiment: rows trained from several seeds, measured, and kept in one JSON file.

A row that is done is not done again; one that was stopped goes on from its checkpoint, if that is
still there. The JSON, the figures and the networks lie in the repository, the runs in ``runs/``.
"""

import gc
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))  # where the package is not installed

import click
import torch

from pyro_dcign.config import Config, configure, read_settings, renamed, settings_of
from pyro_dcign.datasets.labelled import EvaluationSet, evaluation_set, read_npz
from pyro_dcign.datasets.minibatch import MINIBATCH
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.files.disk import write_whole
from pyro_dcign.measures.calibration import open_calibration
from pyro_dcign.measures.figures.of_a_run import save
from pyro_dcign.measures.reporting import share
from pyro_dcign.runs import build, load_run, untrained_run, write_run_config
from pyro_dcign.runs.checkpoint import load_module_file, load_parameters, sound_checkpoints
from pyro_dcign.training.record import METRICS
from pyro_dcign.training.train import Trainer

sys.path.insert(0, str(Path(__file__).parent))
from asked import Options
from measuring import measure
from records import as_json, history, write_images
from summary import summarise

HERE = Path(__file__).parent
IMAGES = 6000  # of each split, about: the calibration takes 3,000 and evaluation 2,500
LEAST = 60.0  # seconds kept for measuring and drawing
ELSEWHERE = {"data", "device", "evaluate_every", "checkpoint_every"}  # no part of what a run is


Job = Callable[[], dict[str, Any]]
Waiting = tuple[tuple["Row", int, Path], Future[dict[str, Any]] | Job]
"""A trained run, and its measures: being taken by another process, or to be taken here."""


@dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        name: Of its runs, and of its network if that is shared.
        settings: What differs from its preset.
        seeds: How many of the seeds asked for it is trained from.
        start: A shared network to begin with; none starts at random.
        shared: Whether the network of the first seed asked for is kept in ``analyses/networks``.
    """

    name: str
    settings: Mapping[str, Any]
    seeds: int = 3
    start: str = ""
    shared: bool = False


def row_of(file: str, **options: Any) -> Row:
    """The row of a config file beside this module; the file's name without ending is the row's."""
    return Row(file, read_settings(HERE / f"{file}.toml"), **options)


MS = {150: 1.7, 64: 0.73}
"""Milliseconds a step of one minibatch on an H100, with evaluations (benchmarks/sweep.py)."""


class Experiment:
    """Rows on one data set.

    Args:
        name: Of its JSON file.
        rows: In the order of their value: seeds are the outer loop.
        store: Makes the data of what was asked for and a side, when they are first needed.
        asked: From the command line.
    """

    def __init__(
        self,
        name: str,
        rows: Sequence[Row],
        store: Callable[[Options, int], Store],
        asked: Options,
    ) -> None:
        unknown = set(asked.only) - {row.name for row in rows}
        if unknown:
            known = ", ".join(row.name for row in rows)
            raise InputError(f"--only names rows of {known}, got {', '.join(unknown)}")
        self.name, self.asked = name, asked
        self.rows = [row for row in rows if row.name in asked.only or not asked.only]
        self.began = time.monotonic()
        self.file = asked.into / "reproduce" / "results" / f"{name}.json"
        self.folder = asked.work / name
        self.make = store
        self.found = self._read()
        self.made: list[Path] = []
        self.rendering, self.measured = 0.0, list[str]()
        self.side = self.config(self.rows[0], asked.seeds[0]).side

    @cached_property
    def store(self) -> Store:
        """The data; images are rendered when they are first asked for."""
        return self.make(self.asked, self.side)

    def _read(self) -> dict[str, Any]:
        kept: dict[str, Any] = {"runs": {}, "calls": []}
        for path in (self.file, self.folder / "results.json"):  # this machine's may be newer
            if path.is_file():
                read = json.loads(path.read_text(encoding="utf-8"))
                kept["runs"] |= read["runs"]
                kept["calls"] = max(kept["calls"], read["calls"], key=len)
        return kept

    def config(self, row: Row, seed: int) -> Config:
        """What a row is trained with from a seed."""
        settings = {**row.settings, **self.asked.changes, "seed": seed}
        settings |= {"device": self.asked.device}
        if self.asked.steps:
            settings["steps"] = self.asked.steps
        config = configure(settings, source=row.name)
        return replace(config, checkpoint_every=config.steps)

    def jobs(self) -> Iterator[tuple[Row, int]]:
        """Rows and seeds in the order in which they are run."""
        for number, seed in enumerate(self.asked.seeds):
            yield from ((row, seed) for row in self.rows if number < row.seeds)

    def done(self, row: Row, seed: int) -> bool:
        """Whether this very run was measured before.

        A setting that came later than the run had its default in it.
        """
        found = self.found["runs"].get(f"{row.name}-seed{seed}")
        wanted = _settings(self.config(row, seed), row)
        return (
            found is not None
            and {**_settings(Config(), row), **renamed(found["settings"])} == wanted
        )

    def estimate(self) -> str:
        """How long what is left takes on an H100, training alone."""
        lines, total = [], 0.0
        for row, seed in self.jobs():
            config = self.config(row, seed)
            images = config.minibatches * (config.minibatch_size or MINIBATCH)
            slower = max(1.0, 1 + 0.57 * (images / MINIBATCH - 1))  # 16.3 ms for 320 images
            minutes = config.steps * MS.get(config.side, MS[150]) * slower / 60_000
            total += 0 if self.done(row, seed) else minutes
            state = "done" if self.done(row, seed) else f"{minutes:.1f} min, {total:.1f} in all"
            lines.append(f"{row.name} seed {seed}: {config.steps} steps, {state}")
        return "\n".join(lines)

    def left(self) -> float:
        """Seconds left for training."""
        if self.asked.minutes is None:
            return float("inf")
        return 60 * self.asked.minutes - LEAST - (time.monotonic() - self.began)

    def run(self) -> None:
        """Train and measure what is not done, until all is done or the time is up.

        Where only an estimate was asked for, say it and leave.
        """
        if self.asked.estimate:
            click.echo(self.estimate())
            raise click.exceptions.Exit
        todo = [(row, seed) for row, seed in self.jobs() if not self.done(row, seed)]
        say(f"{self.name}: {len(todo)} runs to do, {sum(1 for _ in self.jobs())} in all")
        if not todo:
            return
        sets = (self._set("train"), self._set("test"))
        pool = self._pool()
        waiting: list[Waiting] = []
        try:
            for row, seed in todo:
                if self.left() <= 0:
                    break
                folder = self.folder / f"{row.name}-seed{seed}"
                try:
                    finished = self._train(row, seed, folder)
                except InputError as error:  # a row that diverges is a finding
                    self._keep(row, seed, {"failed": str(error)})
                    continue
                if not finished:
                    break
                job = partial(measure, folder, sets, self.asked.device)
                waiting.append(((row, seed, folder), pool.submit(job) if pool else job))
                gc.collect()  # a trainer holds gigabytes of images, and cycles hold the trainer
                waiting = self._harvest(waiting, wait=pool is None)
            self._harvest(waiting, wait=True)
        finally:
            if pool is not None:
                pool.shutdown()
        undone = sum(not self.done(row, seed) for row, seed in self.jobs())
        say(f"{self.name}: {undone} runs left; call again to go on" if undone else "all done")

    def _harvest(self, waiting: list[Waiting], *, wait: bool) -> list[Waiting]:
        """Keep what is measured; what is still being measured is returned."""
        later = []
        for run, job in waiting:
            if isinstance(job, Future) and not job.done() and not wait:
                later.append((run, job))
                continue
            self._measured(*run, job.result() if isinstance(job, Future) else job())
        return later

    def _pool(self) -> ProcessPoolExecutor | None:
        """Measuring is a minute's work for a CPU: on a GPU's machine others do it meanwhile."""
        cuda = torch.cuda.is_available() and self.asked.device != "cpu"
        if not (cuda and self.asked.workers):
            return None
        return ProcessPoolExecutor(self.asked.workers, mp_context=get_context("spawn"))

    def _set(self, split: str) -> Path:
        """File of the images of a split that the measures run on."""
        path = self.folder / f"{split}.npz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            self.store.load(split)  # rendered whole at once, not piece by piece
            self.rendering += time.monotonic() - began
            write_images(evaluation_set(self.store, split, limit=IMAGES), path)
        return path

    def images(self) -> EvaluationSet:
        """Images of identities never trained on."""
        return replace(read_npz(self._set("test")), ranges=dict(self.store.factors))

    def _train(self, row: Row, seed: int, folder: Path) -> bool:
        config = replace(self.config(row, seed), data=str(self.store.folder))
        run = build(folder, config, self.store.factors)
        if (folder / "config.toml").is_file():
            if _settings(untrained_run(folder).config, row) != _settings(config, row):
                raise InputError(f"{folder} holds another run; remove it")
        else:
            write_run_config(run)
        if row.start and not any(sound_checkpoints(folder)):
            load_module_file(run, self._network(row.start) / "parameters.safetensors")
        trainer = Trainer(run, self.store, resume=True)
        due = time.monotonic() + 5
        for record in trainer.records():
            if record.test and time.monotonic() > due:
                due = time.monotonic() + 10
                elbo = record.test["elbo"]
                say(f"{folder.name}: {record.step} of {config.steps} steps, test ELBO {elbo:.0f}")
            if self.left() <= 0 and record.step < config.steps:
                trainer.save()
                say(f"{folder.name}: stopped at step {record.step}, out of time")
                return False
        return True

    def _measured(self, row: Row, seed: int, folder: Path, measures: dict[str, Any]) -> None:
        curve, seconds = history(folder / METRICS)
        config = self.config(row, seed)
        self._keep(
            row,
            seed,
            {
                "training_seconds": seconds,
                "ms_a_step": 1000 * seconds / config.steps,
                "test_elbo": curve,
                **measures,
            },
        )
        network = self._place(row) / row.name
        if seed == self.asked.seeds[0] and "failed" not in measures:
            run = load_run(folder, device="cpu")
            share(run, self.store, measures["measures"], network, made_by=self._command(row))
            if row.shared:
                self.made.append(network)

    def _command(self, row: Row) -> str:
        return f"python analyses/reproduce/{self.name}.py --only {row.name}"

    def _place(self, row: Row) -> Path:
        return self.asked.into / "networks" if row.shared else self.asked.work / "networks"

    def _network(self, name: str) -> Path:
        for place in (self.asked.into / "networks", self.asked.work / "networks"):
            if (place / name / "config.toml").is_file():
                return place / name
        raise InputError(f"the network {name} is to be in {self.asked.into}/networks; train it")

    def network(self, name: str) -> tuple[Any, Any] | None:
        """The shared network of a row and its calibration, or None where there is none yet."""
        try:
            run = untrained_run(self._network(name), device=self._device())
        except InputError:
            return None
        load_parameters(run)
        return run, open_calibration(run)

    def _device(self) -> str | None:
        return None if self.asked.device == "auto" else self.asked.device

    def _keep(self, row: Row, seed: int, found: dict[str, Any]) -> None:
        config = self.config(row, seed)
        entry = {"row": row.name, "seed": seed, "settings": _settings(config, row), **found}
        self.found["runs"][f"{row.name}-seed{seed}"] = entry
        self.measured.append(f"{row.name}-seed{seed}")
        self._write()
        say(f"{row.name} seed {seed}: {found.get('failed') or _brief(found)}")

    def _write(self) -> None:
        order = list(self.found["runs"])
        self.found["summary"] = summarise([self.found["runs"][key] for key in order])
        self.found["data"] = dict(self.store.manifest.recipe)
        text = as_json(self.found)
        for path in (self.file, self.folder / "results.json"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)

    def draw(self, name: str, make: Callable[[], Any]) -> None:
        """Draw one figure into ``reproduce/figures``."""
        path = self.asked.into / "reproduce" / "figures" / f"{self.name}-{name}.png"
        self.made.append(save(make(), path))

    def close(self) -> None:
        """Note how long this call took, and pack what it made."""
        cuda = torch.cuda.is_available() and self.asked.device != "cpu"
        device = torch.cuda.get_device_name() if cuda else "cpu"
        seconds = round(time.monotonic() - self.began, 1)
        about = {"device": device, "torch": torch.__version__, "seconds": seconds}
        about |= {"rendering": round(self.rendering, 1), "measured": self.measured}
        self.found["calls"].append(about)
        self._write()
        if self.asked.pack is not None:
            self._pack(self.asked.pack)
        say(f"{self.name}: {seconds:.0f} s in all; results in {self.file}")

    def _pack(self, folder: Path) -> None:
        """One archive of results and figures, one of each network; unpack them in analyses/."""
        folder.mkdir(parents=True, exist_ok=True)
        networks = [path for path in self.made if path.is_dir()]
        small = [self.file, *(path for path in self.made if path.is_file())]
        archives = {self.name: small, **{f"network-{path.name}": [path] for path in networks}}
        for name, paths in archives.items():
            with tarfile.open(folder / f"{name}.tar", "w") as archive:
                for path in paths:
                    archive.add(path, path.relative_to(self.asked.into))


def say(text: str) -> None:
    """A line of progress."""
    click.echo(text, err=True)


def _settings(config: Config, row: Row) -> dict[str, Any]:
    kept = {k: v for k, v in settings_of(config).items() if k not in ELSEWHERE}
    return {**kept, "warm": row.start}


def _brief(found: Mapping[str, Any]) -> str:
    measures = found["measures"]
    parts = [f"mse {measures['mse']['value'] * 1e4:.2f}e-4"]
    for key in ("spearman", "circular_r2", "rerender_ratio", "leakage"):
        values = [f[key]["value"] for f in measures["factors"].values() if f[key] is not None]
        if values:
            parts.append(f"{key} " + " ".join(f"{value:.3f}" for value in values))
    return f"{found['training_seconds']:.0f} s; " + "; ".join(parts)
