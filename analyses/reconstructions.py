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
# # Does the code keep what the picture shows, and can it be turned?
#
# Twelve people whom the network never saw: the picture, and what its 'graphics code' decodes to.
# Then a few pictures re-rendered along every factor. The run is that of `make fit`;
# `PYRO_DCIGN_RUN` names another.

# %%
# %matplotlib inline
import os
from pathlib import Path

from IPython.display import display

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
from pyro_dcign.measures.figures.of_a_run import editings, reconstructions, sweeps

reconstructions(run, images)

# %% [markdown]
# Only one latent moves in each row below; the identity should stay.

# %%
for factor in calibration.curves:
    display(sweeps(run, calibration, images, factor))

# %% [markdown]
# Edits against the truth: the same scene rendered with the other value of the factor.

# %%
editings(run, calibration, images)

# %% [markdown]
# **Answer.** Pose, light, tone and hairline are kept and turn as they should; at 64 pixels the run
# of `make fit` loses eyes and mouth, and with them much of who it is. In numbers: an edit of ratio
# 1 would be as good as a reconstruction.

# %%
from pyro_dcign.measures.evaluation import evaluate

measures = evaluate(run, images, calibration)
print(f"reconstruction mse {measures['mse']['value'] * 1e4:.1f}e-4")
for factor, found in measures["factors"].items():
    if found["rerender_ratio"]:
        print(f"{factor}: an edit is {found['rerender_ratio']['value']:.2f} times as far off")
