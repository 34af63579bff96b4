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
# # What does a richer guide buy?
#
# Every guide trained on the same data, seeds, order of minibatches and number of steps. Read from
# the folder of `pyro-dcign compare`, or, where there is none, trained here for a few steps. Set
# `PYRO_DCIGN_COMPARISON` to the folder.

# %%
# %matplotlib inline
import os
from pathlib import Path

from pyro_dcign.calibration import open_calibration
from pyro_dcign.checkpoint import load_parameters
from pyro_dcign.datasets.plain import evaluation_set
from pyro_dcign.datasets.store import Store
from pyro_dcign.run import open_run

FOLDER = Path(os.environ.get("PYRO_DCIGN_RUN", "runs/faces-small-mean-seed0"))
run = open_run(FOLDER, device="cpu")
load_parameters(run)
images = evaluation_set(Store.open(run.config.data)).resized(run.config.side)
calibration = open_calibration(run)

# %%
import json
from dataclasses import replace

from IPython.display import Markdown

from pyro_dcign.compare import Size, as_table, fit_and_measure, summarise
from pyro_dcign.figures.comparison import comparison

folder = Path(os.environ.get("PYRO_DCIGN_COMPARISON", "runs/compare"))
if (folder / "comparison.json").is_file():
    rows = json.loads((folder / "comparison.json").read_text())["runs"]
else:
    base = replace(run.config, steps=20, guide="mean_field", device="cpu")
    store, guides = Store.open(run.config.data), ["mean_field", "full_rank"]
    rows = fit_and_measure(base, store, guides, [0], folder, size=Size(4, 100))
Markdown(as_table(summarise(rows)))

# %%
comparison(rows, summarise(rows))

# %% [markdown]
# **Answer.** The bound a richer guide gains over the mean field, and what it costs a step:

# %%
summary = summarise(rows)
plain = next(row for row in summary if row["guide"] == "mean_field")
for row in summary:
    gain = row["elbo"]["value"] - plain["elbo"]["value"]
    cost = row["ms_a_step"]["value"] / plain["ms_a_step"]["value"]
    print(f"{row['guide']}: {gain:+.1f} nats, {cost:.2f} times the time of a step")
