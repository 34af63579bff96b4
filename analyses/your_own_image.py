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
# # What does it make of your own image?
#
# Set `PYRO_DCIGN_IMAGE` to a picture: frontal, on a dark ground, as the training heads are. Without
# one, the most frontal head of the test set stands in.

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
import torch

from pyro_dcign.files.picture import read_picture
from pyro_dcign.images import intensities
from pyro_dcign.measures.figures.pictures import sweep, sweep_values
from pyro_dcign.measures.figures.strips import strip
from pyro_dcign.runs.codes import decode, encode

if path := os.environ.get("PYRO_DCIGN_IMAGE"):
    pixels, _ = read_picture(Path(path), run.config.side)
else:
    away = torch.stack(list(images.factors.values())).abs().nan_to_num().sum(0)
    pixels = images.pixels[away.argmin()]
views = {}
for factor in calibration.curves:
    values = sweep_values(run.factors[factor])
    turned = sweep(run, calibration, pixels, factor, torch.tensor(values))
    views[factor] = (values, turned)
decoded = decode(run, encode(run, pixels[None]))
strip(intensities(pixels[None]), decoded, views, run.factors)

# %% [markdown]
# What the code says of it, with the guide's own uncertainty:

# %%
from pyro_dcign.runs.codes import draw_codes, undisturbed

with undisturbed(run):
    codes = draw_codes(run, intensities(pixels[None]), 500)[:, 0]
for factor in calibration.curves:
    read = calibration.factor_values(factor, codes)
    low, high = read.quantile(torch.tensor([0.05, 0.95])).tolist()
    print(f"{factor}: {read.median():.0f}, 90 % of draws from {low:.0f} to {high:.0f}")

# %% [markdown]
# **Answer.** A turned and relit head, blurred, and what the code says of it in degrees. Of a
# photograph that is a guess: the network has seen rendered heads only, and the intervals above are
# those of a guide that `calibrated.ipynb` finds several of its sds off.
