"""Data sets: typed minibatches on disk, how they are made, checked and drawn."""

from pyro_dcign.datasets.generate import ensure, ensure_faces, make, scene_loader
from pyro_dcign.datasets.labelled import EvaluationSet, evaluation_set, read_npz
from pyro_dcign.datasets.minibatch import MINIBATCH, Minibatch
from pyro_dcign.datasets.plans.census import all_chairs
from pyro_dcign.datasets.plans.recipe import (
    LARGE_TEST,
    LARGE_TRAIN,
    Recipe,
    counts,
    with_types,
)
from pyro_dcign.datasets.readers.bring import bring
from pyro_dcign.datasets.show import contact_sheet, save_picture
from pyro_dcign.datasets.store import Store
from pyro_dcign.datasets.verification import check, summary

__all__ = [
    "LARGE_TEST", "LARGE_TRAIN", "MINIBATCH", "EvaluationSet", "Minibatch", "Recipe", "Store",
    "all_chairs", "bring", "check", "contact_sheet", "counts", "ensure", "ensure_faces",
    "evaluation_set", "make", "read_npz", "save_picture", "scene_loader", "summary",
    "with_types",
]  # fmt: skip
