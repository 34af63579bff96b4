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
# # Does each latent say what it is named after?
#
# The latent that carries a factor against the factor's true value, on unseen identities; then what
# the *other* latents still know of it (leakage), on posterior means and on draws.

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
from pyro_dcign.measures.figures.of_a_run import readings

readings(run, calibration, images)

# %%
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.measures.tables import table

measures = evaluate(run, images, calibration)
print(table(measures))

# %% [markdown]
# **Answer.** Yes: the run of `make fit` orders unseen heads by each latent almost as the truth
# does. The name is nearly exclusive, too. Leakage is what a ridge regression reads from the *other*
# latents: some of the pose from their means and, under the posterior's noise, nothing from their
# draws, which are what the decoder sees.

# %%
for factor, found in measures["factors"].items():
    value = found["spearman"] or found["circular_r2"]
    if value and found["leakage"]:
        print(f"{factor}: {value['value']:.3f}; the others know {found['leakage']['value']:.2f}")
