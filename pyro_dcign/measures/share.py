"""A network to share: half-precision parameters, settings, calibration, measures and a card."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from pyro_dcign.measures.calibration import FILE
from pyro_dcign.runs.checkpoint import PARAMETERS
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.measures.report import CARD, MEASURES, model_card
from pyro_dcign.runs.run import Run, write_run_config


def share(
    run: Run, store: Store, measures: dict[str, Any], out: Path, *, made_by: str = ""
) -> Path:
    """Write what others need to use a run: no optimiser, no path of this machine.

    Args:
        run: With trained networks, calibrated.
        store: Whose recipe the card names.
        measures: From :func:`pyro_dcign.measures.evaluate.evaluate`.
        out: The new folder; ``--run`` of evaluate and render takes it.
        made_by: The command that makes it again.

    Raises:
        InputError: A run that was not calibrated.
    """
    if not (run.folder / FILE).is_file():
        raise InputError(f"{run.folder} is to hold {FILE}, but has none; evaluate the run first")
    config = dataclasses.replace(run.config, data="", device="auto")
    shared = dataclasses.replace(run, folder=out, config=config)
    write_run_config(shared)
    state = {k: v.half().contiguous() for k, v in run.modules.state_dict().items()}
    save_file(state, out / PARAMETERS)
    shutil.copyfile(run.folder / FILE, out / FILE)
    text = json.dumps(measures, indent=1, allow_nan=False) + "\n"
    (out / MEASURES).write_text(text, encoding="utf-8")
    card = model_card(shared, store, measures, made_by=made_by)
    (out / CARD).write_text(card, encoding="utf-8")
    return out
