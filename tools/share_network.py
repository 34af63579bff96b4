"""Make a network to share of a run: python tools/share_network.py RUN OUT.

Half-precision parameters, settings without the paths of this machine, the calibration, the card.
"""

import dataclasses
import shutil
import sys
from pathlib import Path

from safetensors.torch import save_file

from pyro_dcign.calibration import FILE
from pyro_dcign.checkpoint import PARAMETERS, load_parameters
from pyro_dcign.report import CARD
from pyro_dcign.run import open_run, write_run_config


def main(folder: str, out: str) -> None:
    run = open_run(Path(folder), device="cpu")
    load_parameters(run)
    config = dataclasses.replace(run.config, data="", device="auto")
    shared = dataclasses.replace(run, folder=Path(out), config=config)
    write_run_config(shared)
    state = run.modules.state_dict()
    save_file({k: v.half().contiguous() for k, v in state.items()}, Path(out) / PARAMETERS)
    for name in (FILE, CARD):
        shutil.copyfile(Path(folder) / name, Path(out) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
