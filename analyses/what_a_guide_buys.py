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
# Every guide trained on the same data, seeds, order of minibatches and number of steps: what
# `pyro-dcign compare` wrote, kept beside this notebook as `comparison.json`
# (`PYRO_DCIGN_COMPARISON` names another). Where there is none, two guides are trained here for a
# few steps, which shows nothing.

# %%
# %matplotlib inline
import json
import os
from dataclasses import replace
from pathlib import Path

from IPython.display import Markdown

from pyro_dcign.datasets.store import Store
from pyro_dcign.measures.compare import Size, as_table, fit_and_measure, summarise
from pyro_dcign.measures.figures.comparison import comparison
from pyro_dcign.runs.run import untrained_run

if Path.cwd().name == "analyses":  # Jupyter starts a notebook where it lies
    os.chdir("..")
written = Path(os.environ.get("PYRO_DCIGN_COMPARISON", "analyses/comparison.json"))
if written.is_file():
    rows = json.loads(written.read_text())["runs"]
else:
    run = untrained_run(Path(os.environ.get("PYRO_DCIGN_RUN", "runs/faces")), device="cpu")
    base = replace(run.config, steps=20, guide="mean_field", device="cpu")
    store, guides = Store.open(run.config.data), ["mean_field", "full_rank"]
    rows = fit_and_measure(base, store, guides, [0], Path("runs/compare"), size=Size(4, 100))
Markdown(as_table(summarise(rows)))

# %%
comparison(rows, summarise(rows))

# %% [markdown]
# **Answer.** On the heads of `make fit`, three seeds: a covariance between pose and light buys
# nothing. A flow over the three extrinsic latents reads the factors better and edits better, at
# the same ELBO. One code for a whole minibatch (product of experts) has the highest importance
# bound and the worst edits. The bound each gains over the mean field, and where both were timed on
# one machine what it costs a step:

# %%
summary = summarise(rows)
plain = next(row for row in summary if row["guide"] == "mean_field")
for row in summary:
    gain = row["elbo"]["value"] - plain["elbo"]["value"]
    print(f"{row['guide']} ({row['supervision']}): {gain:+.1f} nats", end="")
    if row["ms_a_step"] and plain["ms_a_step"]:
        cost = row["ms_a_step"]["value"] / plain["ms_a_step"]["value"]
        print(f", {cost:.2f} times the time of a step", end="")
    print()
