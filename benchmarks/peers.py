"""Other libraries' training loops on a run's network, for a benchmark, where they are installed.

``pip install pyro-dcign[peers]`` brings them; nothing else in the package knows of them. They have
no typed minibatches and no clamp: their step is that of an ordinary VAE with the same networks, the
same likelihood and Adam.
"""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from rivals import PlainVAE
from torch import Tensor, nn

from pyro_dcign.config import Config
from pyro_dcign.images import Images
from pyro_dcign.runs import Run

Loop = Callable[[], Any]
"""One pass over the images."""

RATE = Config().learning_rate


@contextmanager
def _quiet() -> Iterator[None]:
    """They greet, warn and draw bars."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(before)


class _Encoder(nn.Module):
    """Location and log variance of the codes."""

    def __init__(self, vae: PlainVAE) -> None:
        super().__init__()
        self.convolutions, self.loc, self.log_variance = vae.encoder, vae.loc, vae.log_variance

    def forward(self, images: Images) -> tuple[Tensor, Tensor]:
        features = self.convolutions(images)
        return self.loc(features), self.log_variance(features)


def pythae_loop(run: Run, images: Images, size: int) -> Loop:
    """``train_step`` of pythae's trainer (Chadebec et al. 2022) on batches of that size."""
    base = import_module("pythae.models.nn")
    output = import_module("pythae.models.base.base_utils").ModelOutput
    models, trainers = import_module("pythae.models"), import_module("pythae.trainers")
    dataset = import_module("pythae.data.datasets").BaseDataset
    vae = PlainVAE(run)

    class Encoder(base.BaseEncoder):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = _Encoder(vae)

        def forward(self, x: Tensor) -> Any:
            loc, log_variance = self.inner(x)
            return output(embedding=loc, log_covariance=log_variance)

    class Decoder(base.BaseDecoder):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = vae.decoder

        def forward(self, z: Tensor) -> Any:
            return output(reconstruction=self.inner(z).sigmoid())

    shape, latents = tuple(images.shape[1:]), run.config.latents
    about = models.VAEConfig(input_dim=shape, latent_dim=latents, reconstruction_loss="bce")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        trainer = trainers.BaseTrainer(
            models.VAE(about, encoder=Encoder(), decoder=Decoder()),
            dataset(images, torch.zeros(len(images))),
            training_config=trainers.BaseTrainerConfig(
                output_dir=folder,
                per_device_train_batch_size=size,
                learning_rate=RATE,
                no_cuda=run.device.type != "cuda",
            ),
        )
        trainer.prepare_training()

    def loop() -> None:
        with _quiet():
            trainer.train_step(1)

    return loop


def disent_loop(run: Run, images: Images, size: int) -> Loop:
    """``fit`` of disent's VAE (Michlo 2021), a Lightning module, on batches of that size."""
    names = ("lightning", "disent.model", "disent.frameworks.vae")
    with _quiet():
        lightning, model, vae_module = map(import_module, names)
    vae, shape, latents = PlainVAE(run), tuple(images.shape[1:]), run.config.latents

    class Encoder(model.DisentEncoder):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(x_shape=shape, z_size=latents, z_multiplier=2)
            self.inner = _Encoder(vae)

        def encode(self, x: Tensor) -> Tensor:
            return torch.cat(self.inner(x), -1)

    class Decoder(model.DisentDecoder):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(x_shape=shape, z_size=latents)
            self.inner = vae.decoder

        def decode(self, z: Tensor) -> Tensor:
            logits: Tensor = self.inner(z)
            return logits

    settings = vae_module.Vae.cfg(
        optimizer="adam",
        optimizer_kwargs={"lr": RATE},
        recon_loss="bce",
        loss_reduction="mean_sum",
    )
    module = vae_module.Vae(model.AutoEncoder(Encoder(), Decoder()), cfg=settings)
    batches: Any = [{"x_targ": (batch,)} for batch in images.split(size)]
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")

    def loop() -> None:
        with _quiet():
            trainer = lightning.Trainer(
                accelerator="gpu" if run.device.type == "cuda" else "cpu",
                devices=1,
                max_epochs=1,
                **dict.fromkeys(quiet, False),
            )
            trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))

    return loop


PEERS: dict[str, Callable[[Run, Images, int], Loop]] = {
    "pythae": pythae_loop,
    "disent": disent_loop,
}


def installed_peers() -> tuple[str, ...]:
    """Names of the libraries that are here."""
    return tuple(name for name in PEERS if find_spec(name))
