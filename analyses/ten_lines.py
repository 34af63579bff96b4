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
# # What do ten lines do?
#
# One module, one object. Set `PYRO_DCIGN_IMAGE` to a picture of your own; the shipped network knows
# frontal heads on a dark ground.

# %%
import os
import tempfile
from pathlib import Path

import pyro_dcign as dcign

PICTURE = os.environ.get("PYRO_DCIGN_IMAGE", Path(dcign.__file__).parents[1] / "docs" / "face.png")
OUT = Path(tempfile.mkdtemp())

net = dcign.load("faces", device="cpu")
net

# %% [markdown]
# A picture becomes a code: a distribution, in degrees where that can be said.

# %%
code = net.encode(PICTURE)
code.mean.shape, code.sd.shape, code.sample(500).shape

# %%
code.to_frame()

# %% [markdown]
# A code becomes a picture, under any pose and light that the network was trained on.

# %%
net.decode(code)

# %%
net.edit(PICTURE, azimuth=30, light=-45).save(OUT / "out.png")
turn = net.sweep(PICTURE, azimuth=range(-60, 61, 15))
turn.save(OUT / "turn.gif")
turn

# %% [markdown]
# People who do not exist, all from the front:

# %%
net.sample(16, azimuth=0)

# %% [markdown]
# The posterior as ArviZ data, each factor as a latent and as its value:

# %%
import arviz as az

idata = net.posterior(PICTURE, draws=1000)
az.summary(idata, var_names=[f"{factor}_value" for factor in net.factors])

# %% [markdown]
# ## Your own pictures, your own guide
#
# Bars of light at five places, with twelve textures, and a guide that is written here.

# %%
import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import nn

who, place = (grid.ravel() for grid in np.meshgrid(range(12), range(5)))
x = 0.5 * np.random.default_rng(0).random((12, 16, 16))[who]
for picture, at in zip(x, place, strict=True):
    picture[:, 3 * at : 3 * at + 4] += 0.5


class MyGuide(nn.Module):
    """One normal for each latent, its scale the same for all pictures."""

    def __init__(self, encoder, code):
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = nn.Linear(encoder.features, code.latents)
        self.log_scale = nn.Parameter(torch.zeros(code.latents))

    def forward(self, images):
        loc = self.code.split(self.loc(self.encoder(images)))
        scale = self.code.split(self.log_scale.exp())
        with pyro.plate("images", len(images), dim=-1):
            for site, mean in loc.items():
                pyro.sample(site, dist.Normal(mean, scale[site]).to_event(1))


# %%
data = dcign.TypedImages.from_arrays(x, identity=who, place=place, size=4)
tiny = {
    "network": "paper", "side": 16, "encoder_kernel": 3, "encoder_maps": [8, 8], "latents": 8,
    "decoder_maps": [8, 8, 1], "decoder_kernels": [3, 5], "minibatches": 10, "evaluate_every": 20,
}  # fmt: skip
mine = dcign.DCIGN(data, preset="small", guide=MyGuide, seed=0, device="cpu", **tiny)
mine.fit(steps=40 if os.environ.get("PYRO_DCIGN_SMALL") else 300, progress=False)
mine.history[["test/elbo"]].dropna().tail(3)

# %%
mine.save(OUT / "mine")
again = dcign.load(OUT / "mine", guide=MyGuide)
again.evaluate(data.test).to_frame().head(6)

# %%
again.check(data.test, images=8, draws=200, simulations=40, reference=0, refined=4)

# %% [markdown]
# **Answer.** All that the command line does to a picture, and training, on one object: the settings
# it takes are those of a run's `config.toml`.
