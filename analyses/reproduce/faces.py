"""Faces at the paper's size: its clamp, the entangled baseline and the exchange, then the figures.

python analyses/reproduce/faces.py            # three seeds, about 33 minutes of an H100 in all
python analyses/reproduce/faces.py --only faces-paper
"""

from experiment import Experiment, row_of  # isort: skip  finds the package

from functools import partial
from pathlib import Path

from asked import Options, options
from kink import kinks
from learning import learning
from paper import manipulations

from pyro_dcign.datasets.generate import ensure_faces
from pyro_dcign.datasets.plans.recipe import LARGE_TRAIN
from pyro_dcign.datasets.store import Store
from pyro_dcign.measures.figures.of_a_run import editings, readings, reconstructions

ROWS = [
    row_of("faces-paper", shared=True),
    row_of("faces-exchange", shared=True),
    row_of("faces-clamp"),
    row_of("faces-entangled"),
    row_of("faces-clamp-even"),
]


def faces(asked: Options, side: int) -> Store:
    """The paper's 3,000 minibatches of each type, rendered where they are used."""
    train = asked.train or LARGE_TRAIN
    folder = Path("data") / f"faces-{side}-{train}-{asked.test}"
    many = {"train": train, "intrinsic": train, "test": asked.test}
    return ensure_faces(folder, side=side, **many, stored=False)


@options
def main(asked: Options) -> None:
    """Train, measure and draw the paper's experiment on faces."""
    experiment = Experiment("faces", ROWS, faces, asked)
    experiment.run()
    images = experiment.images()
    entangled = experiment.network("faces-entangled")
    for name in ("paper", "exchange"):
        found = experiment.network(f"faces-{name}")
        if found is None or not any(row.name == f"faces-{name}" for row in experiment.rows):
            continue
        run, calibration = found
        seen = images.resized(run.config.side)
        experiment.draw(f"{name}-decoded", partial(reconstructions, run, seen))
        experiment.draw(f"{name}-knobs", partial(manipulations, run, calibration, seen))
        experiment.draw(f"{name}-readings", partial(readings, run, calibration, seen))
        beside = partial(editings, run, calibration, seen, entangled=entangled)
        experiment.draw(f"{name}-edited", beside)
    runs = experiment.found["runs"]
    found_kinks = {key: one["kink"] for key, one in runs.items()
                   if "kink" in one and one["row"] != "faces-entangled"}  # fmt: skip
    if found_kinks:
        experiment.draw("kink", partial(kinks, found_kinks))
    if trained := {key: one for key, one in runs.items() if "test_elbo" in one}:
        experiment.draw("learning", partial(learning, trained))
    experiment.close()


if __name__ == "__main__":
    main()
