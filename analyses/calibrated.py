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
# # Is the posterior calibrated?
#
# A guide that reconstructs well may still lie about its uncertainty. Every check of
# `pyro-dcign check`: importance weights, simulation-based calibration, NUTS with the decoder fixed.

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
from pyro_dcign.check import Effort, measure
from pyro_dcign.findings import page
from pyro_dcign.verdicts import judge

small = os.environ.get("PYRO_DCIGN_SMALL")
effort = Effort(8, 100, 40, 1, 20, 2) if small else Effort()
findings = measure(run, images, effort=effort)
print(page(judge(findings)))

# %% [markdown]
# k̂ of each image: below the dashed line the guide serves as an importance proposal.

# %%
from pyro_dcign.figures import checks

checks.khat(findings)

# %% [markdown]
# The guide's draws beside NUTS's for the extrinsic latents of a few images.

# %%
checks.reference(findings)

# %%
checks.aggregate(findings)

# %% [markdown]
# Ranks of the truth in simulations. Nothing is drawn here for a Bernoulli likelihood, whose own
# pictures are noise that the encoder never saw.

# %%
checks.sbc(findings)

# %% [markdown]
# **Answer.** The flags above, in words. The same draws as ArviZ data, for checks of your own:

# %%
from dataclasses import replace

from pyro_dcign.posterior import posterior_data

few = replace(
    images,
    pixels=images.pixels[:5],
    factors={name: values[:5] for name, values in images.factors.items()},
    identity=images.identity[:5],
)
posterior_data(run, few, draws=50)
