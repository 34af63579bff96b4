"""What a finished run leaves behind: calibration, measures, figures and a model card."""

import dataclasses
import json
import platform
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pyro_dcign import __version__
from pyro_dcign.config import settings_of
from pyro_dcign.datasets import Store, evaluation_set
from pyro_dcign.errors import InputError
from pyro_dcign.files import write_whole
from pyro_dcign.measures.calibration import (
    FILE,
    calibrate,
    read_calibration,
    write_calibration,
)
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.measures.familiarity import quantiles_of
from pyro_dcign.measures.figures.of_a_run import write_figures
from pyro_dcign.measures.people import PEOPLE, people_of, write_people
from pyro_dcign.measures.tables import table
from pyro_dcign.runs import (
    PARAMETERS,
    PICTURES,
    PRIOR,
    Run,
    fit_prior,
    origin_of,
    write_prior,
    write_run_config,
)

MEASURES = "measures.json"
CARD = "MODEL_CARD.md"
PRIOR_IMAGES = 5000


def report(run: Run, store: Store) -> dict[str, Any]:
    """Calibrate on training images, measure on test identities, write both, figures and a card."""
    trained = evaluation_set(store, "train")
    if run.config.prior == "fitted":
        write_prior(run, fit_prior(run, trained.pixels[:PRIOR_IMAGES]))
    test = evaluation_set(store)
    calibration = calibrate(run, trained)
    calibration = dataclasses.replace(calibration, familiarity=quantiles_of(run, test))
    write_calibration(calibration, run.folder)
    write_people(people_of(run, trained), run.folder)
    measures = evaluate(run, test, calibration)
    text = json.dumps(measures, indent=1, allow_nan=False)
    write_whole(run.folder / MEASURES, text + "\n")
    write_figures(run, store, calibration=calibration)
    write_whole(run.folder / CARD, model_card(run, store, measures))
    return measures


def model_card(run: Run, store: Store, measures: dict[str, Any], *, made_by: str = "") -> str:
    """Markdown that says what the network is, how it came about, and what it cannot do."""
    command = f"\n## Command\n`{made_by}`\n" if made_by else ""
    settings = "\n".join(f"- {key}: `{value}`" for key, value in settings_of(run.config).items())
    parameters = sum(p.numel() for p in run.modules.parameters())
    recipe = json.dumps(dict(store.manifest.recipe))
    ranges = ", ".join(f"{n} {r.low:g} to {r.high:g}" for n, r in run.factors.items())
    return f"""# Model card

A deep convolutional inverse graphics network ({parameters:,} parameters) trained by pyro-dcign
{__version__} (torch {torch.__version__}, {platform.machine()}, {run.device.type}).

## Data
`{recipe}`

Factors and their ranges: {ranges}.

## State
Measured at {origin_of(run)}, on data with the digest {store.digest[:12]}.

## Measures
```
{table(measures)}
```

## Settings
{settings}
{command}
## Limits
It has seen rendered images only, on one ground colour and inside the ranges above; of anything else
it makes the nearest thing that it knows. It is no face recogniser, and an edited photograph of a
person is the network's guess, not a likeness.
"""


def share(
    run: Run, store: Store, measures: dict[str, Any], out: Path, *, made_by: str = ""
) -> Path:
    """Write what others need to use a run: no optimiser, no path of this machine.

    Args:
        run: With trained networks, calibrated.
        store: Whose recipe the card names.
        measures: From :func:`pyro_dcign.measures.evaluation.evaluate`.
        out: The new folder; ``--run`` of evaluate and render takes it.
        made_by: The command that makes it again.

    Raises:
        InputError: A run that was not calibrated.
    """
    if out.resolve() == run.folder.resolve():
        raise InputError(f"{out} is to be a new folder, but is the run's own; name another")
    made, now = read_calibration(run).origin, origin_of(run, store.digest)
    if made is not None and (made.parameters != now.parameters or made.data not in ("", now.data)):
        raise InputError(f"{run.folder / FILE} is of another state; evaluate the run first")
    config = dataclasses.replace(run.config, data="", device="auto")
    shared = dataclasses.replace(run, folder=out, config=config)
    write_run_config(shared)
    state = {k: v.half().contiguous() for k, v in run.modules.state_dict().items()}
    save_file(state, out / PARAMETERS)
    shutil.copyfile(run.folder / FILE, out / FILE)
    for name in (PEOPLE, PICTURES, PRIOR):
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, out / name)
    text = json.dumps(measures, indent=1, allow_nan=False) + "\n"
    (out / MEASURES).write_text(text, encoding="utf-8")
    card = model_card(shared, store, measures, made_by=made_by)
    (out / CARD).write_text(card, encoding="utf-8")
    return out
