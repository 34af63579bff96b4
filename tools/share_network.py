"""Make a network to share of a run: python tools/share_network.py RUN OUT.

Half-precision parameters, settings without the paths of this machine, calibration, measures, card.
The run's data have to be where its config says.
"""

import json
import sys
from pathlib import Path

from pyro_dcign.datasets import Store
from pyro_dcign.measures.reporting import MEASURES, share
from pyro_dcign.runs import load_run


def main(folder: str, out: str) -> None:
    run = load_run(Path(folder), device="cpu")
    measures = json.loads((Path(folder) / MEASURES).read_text(encoding="utf-8"))
    share(run, Store.open(run.config.data), measures, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
