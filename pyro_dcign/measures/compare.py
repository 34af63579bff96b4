"""Guides side by side: the same data, seeds, order of minibatches and number of steps for each."""

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyro_dcign import posterior  # ArviZ loads when a run is measured
from pyro_dcign.config import Config
from pyro_dcign.datasets import EvaluationSet, Store, evaluation_set
from pyro_dcign.errors import InputError, refuse
from pyro_dcign.files import content, parse_json, write_whole
from pyro_dcign.measures.calibration import (
    Calibration,
    calibrate,
    open_calibration,
    write_calibration,
)
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.measures.intervals import over_seeds
from pyro_dcign.model import load_guide, supervises_itself
from pyro_dcign.runs import (
    CALIBRATION,
    CONFIG,
    PICTURES,
    Run,
    build,
    data_of,
    load_run,
    newest_step,
    own_store,
    untrained_run,
    write_run_config,
)
from pyro_dcign.runs import FOLDER as CHECKPOINTS
from pyro_dcign.training import METRICS, Trainer

GUIDES = (
    "mean_field",
    "low_rank",
    "full_rank",
    "flow",
    "semi_amortised",
    "product_of_experts",
    "adaptive",
)
"""Compared by default; the ``auto`` guides take hundreds of times as long: ask for them."""

COLUMNS: dict[str, tuple[str, float, int]] = {
    "elbo": ("ELBO, nats", 1.0, 1),
    "bound": ("importance bound, nats", 1.0, 1),
    "khat": ("k̂ extrinsic, median", 1.0, 2),
    "khat_joint": ("k̂ joint, median", 1.0, 2),
    "mse": ("mse, 1e-4", 1e4, 1),
    "swap_mse": ("swapped, 1e-4", 1e4, 1),
    "spearman": ("spearman", 1.0, 3),
    "leakage": ("leakage, drawn", 1.0, 2),
    "rerender_ratio": ("edited / reconstr.", 1.0, 2),
    "mig": ("MIG", 1.0, 3),
    "dci": ("DCI-D", 1.0, 3),
    "sap": ("SAP", 1.0, 3),
    "ms_a_step": ("ms a step", 1.0, 1),
}
"""Heading, factor and digits of each measure of the table."""

ROW = "compare.json"
_TAIL = 65536  # bytes of a record of training that are looked at
Row = dict[str, Any]
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Size:
    """How many images and draws the importance weights of a run take."""

    images: int = 48
    draws: int = 500


def config_of(base: Config, guide: str, seed: int) -> Config:
    """The base configuration with another guide and seed.

    A guide that is clamped on its draw only (it says ``clamp_on = "draw"``) is clamped there;
    everything else is as for the others.
    """
    config = dataclasses.replace(base, guide=guide, seed=seed)
    only = getattr(load_guide(guide), "clamp_on", None)
    if only is None or base.handler in {"none", "exchange"}:
        return config
    return dataclasses.replace(config, clamp_on=only)


def supervision_of(run: Run) -> str:
    """What tied latents to factors: the clamp, or the guide's own way."""
    if run.config.handler != "none" and supervises_itself(run.guide):
        return "its own"
    on = " on draws" if run.config.clamp_on == "draw" else ""
    return run.config.handler + (on if run.config.handler != "none" else "")


def fit_and_measure(
    base: Config,
    store: Store,
    guides: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    size: Size | None = None,
    say: Say = lambda text: None,
) -> list[Row]:
    """Train each guide with each seed in ``folder/GUIDE-seedN``, and measure it; a row a run.

    Seeds are the outer loop, so an interrupted comparison compares what it has; a run that was
    measured before is read, not trained again. Every run draws from its own seed. One whose
    training fails is named, and left out.

    Raises:
        InputError: A guide that is not known, before any is trained; a comparison of which every
            run failed.
    """
    base = dataclasses.replace(base, data=str(store.folder.resolve()))
    configs = [config_of(base, guide, seed) for seed in seeds for guide in guides]
    rows = []
    left_out: InputError | None = None
    for config in configs:
        where = folder / f"{Path(config.guide).name.replace(':', '-')}-seed{config.seed}"
        kept = where / ROW
        begun = _begun(where, config, store)
        if begun and kept.is_file() and (row := _kept(kept, where)):
            say(f"{where}: measured before")
            rows.append(row)
            continue
        say(f"{where}: {config.steps} steps")
        run = build(where, config, store.factors)
        if not begun:
            _clear(where)
            write_run_config(run)
        try:
            with _own_generators(run):
                for _ in Trainer(run, store, resume=begun).records():
                    pass
        except InputError as error:  # that one diverges is no reason to lose the others
            say(f"{where}: left out: {error}")
            left_out = error
            continue
        calibration = calibrate(run, evaluation_set(store, "train"))
        write_calibration(calibration, where)
        row = measured(run, evaluation_set(store), calibration, size=size)
        row["ms_a_step"] = _recorded_ms(where)
        row["step"] = newest_step(where)
        write_whole(kept, json.dumps(row, indent=1) + "\n")
        rows.append(row)
    if left_out and not rows:
        raise left_out
    return rows


def _begun(folder: Path, config: Config, store: Store) -> bool:
    """Whether a folder holds a run of this configuration on these data."""
    if not (folder / CONFIG).is_file():
        return False
    run = untrained_run(folder, trusted=[config.guide])
    data = Path(run.config.data)
    if data.resolve() == Path(config.data).resolve():  # an older run may have a relative path
        data = Path(config.data)
    same = dataclasses.replace(run.config, data=str(data)) == config
    return same and data_of(run) in ("", store.digest)


def _clear(folder: Path) -> None:
    """Remove what an earlier run with other settings left where a new one begins."""
    for name in (ROW, METRICS, CALIBRATION, PICTURES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _own_generators(run: Run) -> Any:
    """What training draws is drawn from a fork, so one run never shifts another's numbers."""
    devices = [run.device] if run.device.type == "cuda" else []
    return torch.random.fork_rng(devices=devices)


def measure_run(
    folder: Path,
    images: EvaluationSet | None,
    *,
    size: Size | None = None,
    trusted: Sequence[str] = (),
) -> Row:
    """A row for a run that was trained before, on these images or its own data's test split.

    ``trusted`` are guides from files or modules, see :func:`~pyro_dcign.runs.run.untrained_run`.
    """
    run = load_run(folder, trusted=trusted)
    if images is None:
        store = own_store(run)
        if store is None:
            raise InputError(
                f"{folder} was trained on {run.config.data or 'data of its own'!r}, which is not "
                "here; name a folder with --data"
            )
        images = evaluation_set(store)
    row = measured(run, images, open_calibration(run), size=size)
    return row | {"ms_a_step": _recorded_ms(folder)}


def _recorded_ms(folder: Path) -> float | None:
    path = folder / METRICS
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read(_TAIL).splitlines()
    for line in reversed(lines):  # the last may be half-written
        try:
            last = parse_json(line)
            return float(1000 * last["seconds"] / last["step"]) or None
        except (ValueError, TypeError, KeyError, ZeroDivisionError):
            continue
    return None


def _kept(path: Path, folder: Path) -> Row | None:
    """The row that an earlier comparison wrote, or None where the run has gone on since."""
    try:
        # Rows of before poses were swapped lack that measure.
        row = {"swap_mse": None, **json.loads(content(path, 2**20, remedy="remove it"))}
        texts = [row["guide"], row["supervision"]]
        numbers = [row["seed"], row["steps"], *(row[name] for name in COLUMNS)]
        whole = all(isinstance(text, str) for text in texts)
        if not whole or not all(n is None or isinstance(n, int | float) for n in numbers):
            raise ValueError("other entries")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise refuse(path, "a measured run", error, "remove it, and measure again") from None
    return dict(row) if row.get("step") in (None, newest_step(folder)) else None


def measured(
    run: Run, images: EvaluationSet, calibration: Calibration, *, size: Size | None = None
) -> Row:
    """Every measure of one run: the mean over factors where there is one for each."""
    size = size or Size()
    found = evaluate(run, images, calibration)
    order = np.random.default_rng(0).permutation(len(images))[: size.images]
    pixels = images.resized(run.config.side).pixels[torch.from_numpy(order)]
    joint = posterior.importance(run, pixels, draws=size.draws).log_weights
    block = posterior.importance(run, pixels, draws=size.draws, extrinsic=True).log_weights
    elbo, bound = posterior.bounds(joint)
    factors = found["factors"].values()
    return {
        "guide": run.config.guide,
        "supervision": supervision_of(run),
        "seed": run.config.seed,
        "steps": run.config.steps,
        "elbo": float(elbo.mean()),
        "bound": float(bound.mean()),
        "khat": float(np.median(posterior.pareto_k(block))),
        "khat_joint": float(np.median(posterior.pareto_k(joint))),
        "mse": found["mse"]["value"],
        "swap_mse": (found["swap_mse"] or {}).get("value"),
        "spearman": _mean(v["spearman"] or v["circular_r2"] for v in factors),
        "leakage": _mean(v["leakage"] for v in factors),
        "rerender_ratio": _mean(v["rerender_ratio"] for v in factors),
        "mig": found["mig"],
        "dci": (found["dci"] or {}).get("disentanglement"),
        "sap": found["sap"],
    }


def _mean(intervals: Iterable[Mapping[str, float] | None]) -> float | None:
    values = [interval["value"] for interval in intervals if interval is not None]
    return float(np.mean(values)) if values else None


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One row for each guide and its supervision: mean over seeds with a 95 % t interval.

    A single seed has no interval: ``low`` and ``high`` are None.
    """
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["guide"], row["supervision"], row["steps"]), []).append(row)
    return [
        {
            "guide": guide,
            "supervision": supervision,
            "steps": steps,
            "seeds": sorted(row["seed"] for row in members),
            **{name: over_seeds([row.get(name) for row in members]) for name in COLUMNS},
        }
        for (guide, supervision, steps), members in groups.items()
    ]


def as_csv(rows: Sequence[Row]) -> str:
    """A line a run."""
    names = ["guide", "supervision", "seed", "steps", *COLUMNS]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row.get(name) for name in names} for row in rows)
    return text.getvalue()


def as_table(summary: Sequence[Row]) -> str:
    """Markdown: a row a guide, value ± half the interval over seeds."""
    heads = ["guide", "supervision", "seeds", *(heading for heading, _, _ in COLUMNS.values())]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for row in summary:
        cells = [row["guide"], row["supervision"], str(len(row["seeds"]))]
        for name, (_, factor, digits) in COLUMNS.items():
            cells.append(_cell(row[name], factor, digits))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Mapping[str, float | None] | None, factor: float, digits: int) -> str:
    if found is None or found["value"] is None:
        return "–"
    text = f"{found['value'] * factor:.{digits}f}"
    if found["high"] is not None:
        text += f" ± {(found['high'] - found['value']) * factor:.{digits}f}"
    return text
