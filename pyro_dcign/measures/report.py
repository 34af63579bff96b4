"""What a finished run leaves behind: calibration, measures, figures and a model card."""

import json
import platform
from typing import Any

import torch

from pyro_dcign import __version__
from pyro_dcign.measures.calibration import calibrate, write_calibration
from pyro_dcign.config import settings_of
from pyro_dcign.datasets.labelled import evaluation_set
from pyro_dcign.datasets.store import Store
from pyro_dcign.files.disk import write_whole
from pyro_dcign.measures.evaluate import evaluate
from pyro_dcign.measures.figures.of_a_run import write_figures
from pyro_dcign.runs.run import Run
from pyro_dcign.measures.table import table

MEASURES = "measures.json"
CARD = "MODEL_CARD.md"


def report(run: Run, store: Store) -> dict[str, Any]:
    """Calibrate on training images, measure on test identities, write both, figures and a card."""
    calibration = calibrate(run, evaluation_set(store, "train"))
    write_calibration(calibration, run.folder)
    measures = evaluate(run, evaluation_set(store), calibration)
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

Factors and their ranges: {ranges}. Measured on identities that were never trained on.

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
