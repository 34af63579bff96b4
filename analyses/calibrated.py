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
# `pyro-dcign check`: importance weights, simulation-based calibration, NUTS with the decoder fixed,
# pixels among their replicates. What it measured is read from the run; without it, it is measured
# here, which takes minutes.

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
from pyro_dcign.posterior.check import Effort, measure
from pyro_dcign.posterior.findings import Findings, page
from pyro_dcign.posterior.verdicts import judge

if (FOLDER / "check.npz").is_file():
    findings = Findings.load(FOLDER / "check.npz")
else:
    small = os.environ.get("PYRO_DCIGN_SMALL")
    effort = Effort(8, 100, 40, 1, 20, 2) if small else Effort()
    findings = measure(run, images, effort=effort)
print(page(judge(findings)))

# %% [markdown]
# k̂ of each image: below the dashed line the guide serves as an importance proposal.

# %%
from pyro_dcign.posterior import figures as checks

checks.khat(findings)

# %% [markdown]
# The guide's draws beside NUTS's for the extrinsic latents of a few images.

# %%
checks.reference(findings)

# %% [markdown]
# Where a pixel lies among its replicates, each drawn from a code that did not see it. A hump in the
# middle: residuals are smaller than the likelihood's noise. Nothing is drawn for a Bernoulli, of
# which a grey value is no outcome.

# %%
checks.loo_pit(findings)

# %% [markdown]
# The codes of all images together, against the prior.

# %%
checks.aggregate(findings)

# %% [markdown]
# Ranks of the true code in the guide's draws, for pictures that the model itself draws from codes
# of the prior. Where the images' codes spread far wider than the prior (above), such pictures are
# unlike any that the encoder saw, and it misreads them: the flag is then about them first.

# %%
checks.sbc(findings)

# %% [markdown]
# **Answer.** For the run of `make fit`, no: it says where a face looks, and that is several of the
# posterior's narrow sds from where the decoder alone would put it. Read its means; take intervals
# from NUTS, or from a normal fitted to the image, and do not reweight its draws. What each flag
# asks for is in `docs/posterior.md`. The same draws as ArviZ data, for checks of your own:

# %%
from dataclasses import replace

from pyro_dcign.posterior import arviz_bridge
from pyro_dcign.posterior.data import posterior_data

few = replace(
    images,
    pixels=images.pixels[:5],
    factors={name: values[:5] for name, values in images.factors.items()},
    identity=images.identity[:5],
)
arviz_bridge.groups(posterior_data(run, few, draws=50))
