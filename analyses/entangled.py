# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does the clamp do?
#
# Two runs on the same data: one with typed minibatches clamped (or exchanged), one without, of
# `pyro-dcign fit --handler none --out runs/entangled` (`PYRO_DCIGN_ENTANGLED` names another).
# Without such a run one is trained here for a few steps, which shows nothing.

# %%
# %matplotlib inline
import os
from pathlib import Path

from pyro_dcign.datasets.labelled import evaluation_set
from pyro_dcign.datasets.store import Store
from pyro_dcign.measures.calibration import open_calibration
from pyro_dcign.runs import load_run

if Path.cwd().name == "analyses":  # Jupyter starts a notebook where it lies
    os.chdir("..")
FOLDER = Path(os.environ.get("PYRO_DCIGN_RUN", "runs/faces"))
run = load_run(FOLDER, device="cpu")
images = evaluation_set(Store.open(run.config.data)).resized(run.config.side)
calibration = open_calibration(run)

# %%
from dataclasses import replace

from pyro_dcign.measures.calibration import calibrate
from pyro_dcign.measures.figures.of_a_run import editings
from pyro_dcign.runs.run import build
from pyro_dcign.training.train import Trainer

store = Store.open(run.config.data)
other = Path(os.environ.get("PYRO_DCIGN_ENTANGLED", "runs/entangled"))
if other.is_dir():
    entangled = load_run(other, device="cpu")
    theirs = open_calibration(entangled)
else:
    config = replace(run.config, handler="none", steps=20, device="cpu")
    entangled = build(FOLDER.with_name(FOLDER.name + "-entangled"), config, store.factors)
    entangled.folder.mkdir(exist_ok=True)
    for _ in Trainer(entangled, store).records():
        pass
    theirs = calibrate(entangled, evaluation_set(store, "train"))

# %%
editings(run, calibration, images, entangled=(entangled, theirs))

# %%
from pyro_dcign.measures.evaluation import evaluate

both = {
    run.config.handler: evaluate(run, images, calibration),
    "no clamp": evaluate(entangled, images, theirs),
}
for name, measures in both.items():
    mig = measures["mig"]
    print(f"{name}: mse {measures['mse']['value'] * 1e4:.1f}e-4, MIG {mig and round(mig, 3)}")
    for factor, found in measures["factors"].items():
        if found["rerender_ratio"]:
            print(f"  {factor}: edited / reconstructed {found['rerender_ratio']['value']:.2f}")

# %% [markdown]
# **Answer.** It makes knobs, at a price. Without it the network reconstructs better, and an edit of
# its best latent is several times as far from the truth as a reconstruction: half a turn is two
# heads at once.
