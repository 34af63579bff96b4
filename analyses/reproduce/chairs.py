"""Chairs at the paper's size: its clamp and the exchange, with one and with two azimuth latents.

python analyses/reproduce/chairs.py           # about 20 minutes of an H100 in all
"""

from experiment import Experiment, row_of  # isort: skip  finds the package

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from asked import Options, options
from learning import learning
from paper import edit_errors, rotations

from pyro_dcign.datasets.generate import ensure, scene_loader
from pyro_dcign.datasets.plans.census import all_chairs
from pyro_dcign.datasets.plans.recipe import counts
from pyro_dcign.datasets.store import Store
from pyro_dcign.measures.figures.of_a_run import readings, reconstructions
from pyro_dcign.scenes.chairs import CHAIRS

ROWS = [
    row_of("chairs-paper", shared=True),
    row_of("chairs-exchange-two", shared=True),
    row_of("chairs-clamp"),
    row_of("chairs-exchange", seeds=1),
    row_of("chairs-paper-two", seeds=1),
]
SHOWN = 10


def chairs(asked: Options, side: int) -> Store:
    """The paper's chairs, each in all its views; with --train, that many minibatches drawn."""
    few = asked.train is not None
    recipe = replace(all_chairs(chairs=180 if few else CHAIRS, side=side), stored=False)
    if few:
        number = counts(("azimuth", "intrinsic"), train=asked.train, intrinsic=asked.train,
                        test=asked.test)  # fmt: skip
        recipe = replace(recipe, minibatches=number, plan="drawn")
    which = f"{asked.train}-{asked.test}" if few else "all"
    folder = Path("data") / f"chairs-{side}-{which}"
    return ensure(folder, recipe, scene_loader("chairs"))


@options
def main(asked: Options) -> None:
    """Train, measure and draw the paper's experiment on chairs."""
    experiment = Experiment("chairs", ROWS, chairs, asked)
    experiment.run()
    images = experiment.images()
    for row in experiment.rows:
        found = experiment.network(row.name)
        if found is None:
            continue
        run, calibration = found
        seen = images.resized(run.config.side)
        name = row.name.removeprefix("chairs-")
        errors = edit_errors(run, calibration, seen, "azimuth")
        order = list(errors)
        drawn = np.random.default_rng(0).permutation(len(order))[:SHOWN]
        chosen = {
            "ten": ("Ten chairs drawn at random, best first", [order[i] for i in sorted(drawn)]),
            "good": ("Chairs that turn well", order[: SHOWN // 2]),
            "bad": ("Chairs that turn badly", order[-SHOWN // 2 :]),
        }
        for key, (title, who) in chosen.items():
            turn = partial(rotations, run, calibration, seen, errors, who, title=title)
            experiment.draw(f"{name}-{key}", turn)
        experiment.draw(f"{name}-decoded", partial(reconstructions, run, seen))
        experiment.draw(f"{name}-readings", partial(readings, run, calibration, seen))
    runs = experiment.found["runs"]
    if trained := {key: one for key, one in runs.items() if "test_elbo" in one}:
        experiment.draw("learning", partial(learning, trained))
    experiment.close()


if __name__ == "__main__":
    main()
