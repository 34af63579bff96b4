"""The configuration of a run: presets, TOML files and overrides."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pyro_dcign.errors import InputError


@dataclass(frozen=True)
class Config:
    """Every setting of a run; the defaults are the preset ``paper``.

    Attributes:
        preset: Where the other settings started from.
        data: Folder of training data; empty for the embedded heads.
        side: Height and width of the images.
        network: paper, or residual: deeper, with 3×3 convolutions (ours).
        hidden: Length of the residual network's hidden vectors.
        encoder_maps: Maps of the encoder's blocks.
        encoder_kernel: Kernel of the encoder's blocks.
        decoder_maps: Maps of the decoder's linear layer and blocks; the last is 1.
        decoder_kernels: Kernel of each of the decoder's blocks.
        latents: Length of the graphics code.
        periodic_latents: Latents of a factor with a full circle; 2 give it a plane, not a line.
        likelihood: bernoulli, continuous_bernoulli, normal, or one whose noise is learned:
            normal_learned (one number), normal_map (of the decoded picture) or student_t (a map).
        pixel_scale: Standard deviation of a pixel under the normal likelihood, in [0, 1] intensity;
            where the noise is learned it starts there.
        prior: standard, or fitted: a run trained under the standard normal gets the normal of its
            training images' codes at its end.
        guide: Name, FILE.py:CLASS or MODULE:CLASS.
        handler: Around the guide: mean (paper), first (released code), exchange or none.
        clamp_on: parameters, or draw.
        strength: Factor of the mean pull.
        kl_gradient: replaced by the mean pull on inactive latents (paper), or kept beside it.
        agreement: Weight of the exchange's divergence between an image and its donor.
        start: random (paper), principal (by what varies most) or labelled (by known values).
        labels: Weight of extrinsic latents' distance from known values; 0 (paper) needs none.
        ratio: Shares of the types of minibatches, as 1:10, 1:1:1:10 or each=1,pose=5,intrinsic=1.
        elbo: Trace_ELBO or TraceMeanField_ELBO.
        kl_weight: What the KL and the agreement count in the loss; the paper's is 1.
        num_particles: Draws of each code for the ELBO's estimate.
        optimizer: adam, with betas (0.9, 0.99) (paper), or muon: orthogonal steps of matrices.
        learning_rate: The optimiser's.
        warmup: First steps, over which the learning rate rises from 0 (paper: none).
        decay: Last share of the steps, over which the learning rate falls to 0 (paper: none).
        steps: Updates of the parameters.
        minibatches: Typed minibatches in each update.
        minibatch_size: Images in each, a divisor of the data's number; 0: as many (paper: 20).
        seed: Of the parameters, the schedule and the draws.
        device: auto, cpu or cuda.
        precision: auto (bf16 where the hardware has it), float32, tf32 or bf16.
        evaluate_every: Steps between test ELBOs.
        checkpoint_every: Steps between checkpoints.
    """

    preset: str = "paper"
    data: str = ""
    side: int = 150
    network: str = "paper"
    hidden: int = 512
    encoder_maps: tuple[int, ...] = (96, 64, 32)
    encoder_kernel: int = 5
    decoder_maps: tuple[int, ...] = (32, 64, 96, 96, 1)
    decoder_kernels: tuple[int, ...] = (7, 7, 7, 7)
    latents: int = 200
    periodic_latents: int = 1
    likelihood: str = "bernoulli"
    pixel_scale: float = 0.1
    prior: str = "standard"
    guide: str = "mean_field"
    handler: str = "mean"
    clamp_on: str = "parameters"
    strength: float = 0.01
    kl_gradient: str = "replaced"
    agreement: float = 0.0
    start: str = "random"
    labels: float = 0.0
    ratio: str = "1:10"
    elbo: str = "Trace_ELBO"
    kl_weight: float = 1.0
    num_particles: int = 1
    optimizer: str = "adam"
    learning_rate: float = 5e-4
    warmup: int = 0
    decay: float = 0.0
    steps: int = 50_000
    minibatches: int = 1
    minibatch_size: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    evaluate_every: int = 1000
    checkpoint_every: int = 5000


# How both of our presets train, but for the number of pairs and what their agreement is worth.
_PAIRS: dict[str, Any] = {
    "likelihood": "normal",
    "pixel_scale": 0.05,
    "handler": "exchange",
    "strength": 300.0,
    "network": "residual",
    "start": "labelled",
    "ratio": "each=1,pose=5,intrinsic=1",
    "optimizer": "muon",
    "learning_rate": 1e-3,
    "warmup": 100,
    "decay": 0.5,
    "minibatch_size": 2,
}

PRESETS: dict[str, Config] = {
    "paper": Config(),
    # The released code's network and clamp: rmsprop.lua, SelectiveOutputClamp.lua and the default
    # invariance strength of monovariant_main.lua; types drawn 1:1:1:1 without shape_bias.
    "torch7": Config(
        preset="torch7",
        encoder_maps=(96, 48, 24),
        decoder_maps=(24, 48, 96, 96, 1),
        handler="first",
        strength=0.0,
        ratio="1:1",
    ),
    # Ours, for a GPU: the residual network and the exchange in 80 pairs (docs/exchange.md).
    "large": Config(
        preset="large",
        encoder_maps=(64, 64, 128, 256, 256),
        decoder_maps=(256, 256, 128, 128, 64),
        **_PAIRS,
        agreement=6.0,
        minibatches=80,
        steps=12_000,
    ),
    # Ours, for a machine without a GPU. 64 × 64 pixels say a fifth of what the paper's 150 × 150
    # do, so grey Bernoulli pixels leave the KL too strong: blurred, with folded azimuths. A step of
    # 40 images is 20 pairs of as many people (docs/exchange.md).
    "small": Config(
        preset="small",
        side=64,
        encoder_maps=(16, 24, 48, 96),
        decoder_maps=(96, 64, 32, 24),
        hidden=192,
        latents=64,
        **_PAIRS,
        agreement=2.0,
        minibatches=20,
        steps=2200,
        evaluate_every=500,
        checkpoint_every=1000,
    ),
}

CHOICES: dict[str, tuple[str, ...]] = {
    "prior": ("standard", "fitted"),
    "preset": tuple(PRESETS),
    "network": ("paper", "residual"),
    "likelihood": (
        "bernoulli",
        "continuous_bernoulli",
        "normal",
        "normal_learned",
        "normal_map",
        "student_t",
    ),
    "handler": ("mean", "first", "exchange", "none"),
    "start": ("random", "principal", "labelled"),
    "clamp_on": ("parameters", "draw"),
    "kl_gradient": ("replaced", "kept"),
    "elbo": ("Trace_ELBO", "TraceMeanField_ELBO"),
    "optimizer": ("adam", "muon"),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "float32", "tf32", "bf16"),
}
"""The words that each setting of a few words may take."""

_AT_LEAST = {
    "encoder_kernel": 1,
    "side": 16,
    "hidden": 1,
    "latents": 2,
    "periodic_latents": 1,
    "num_particles": 1,
    "steps": 1,
    "minibatches": 1,
    "minibatch_size": 0,
    "seed": 0,
    "evaluate_every": 1,
    "checkpoint_every": 1,
    "pixel_scale": 1e-3,
    "strength": 0.0,
    "agreement": 0.0,
    "kl_weight": 0.0,
    "labels": 0.0,
    "warmup": 0,
    "decay": 0.0,
}
_AT_MOST = {
    "encoder_kernel": 31,
    "decay": 1.0,
    "pixel_scale": 10.0,
    "side": 1024,
    "hidden": 65_536,
    "latents": 65_536,
    "minibatches": 4096,
    "minibatch_size": 4096,
    "steps": 10**9,
}
_RENAMED = {"clamp": "handler"}
"""Settings that had another name."""

_TYPES = {field.name: field.type for field in dataclasses.fields(Config)}


def _problem(key: str, value: Any) -> str | None:
    """What is wrong with one setting, or None."""
    wanted: Any = _TYPES.get(key)
    if wanted is None:
        return f"{key}: no such setting"
    if get_origin(wanted) is tuple:
        item = get_args(wanted)[0]
        good = isinstance(value, (list, tuple)) and all(type(v) is item for v in value)
        if not (good and value and min(value) >= 1 and max(value) <= 4096 and len(value) <= 16):
            return f"{key}: expected a list of 1 to 16 positive whole numbers, got {value!r}"
        return None
    if wanted is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not wanted:
        return f"{key}: expected {wanted.__name__}, got {value!r}"
    if key in CHOICES and value not in CHOICES[key]:
        return f"{key}: expected one of {', '.join(CHOICES[key])}, got {value!r}"
    if key in _AT_LEAST and not value >= _AT_LEAST[key]:
        return f"{key}: expected {_AT_LEAST[key]} or more, got {value!r}"
    if key in _AT_MOST and value > _AT_MOST[key]:
        return f"{key}: expected {_AT_MOST[key]} or less, got {value!r}"
    if key == "learning_rate" and not 0 < value < 1:
        return f"{key}: expected a number between 0 and 1, got {value!r}"
    return None


def configure(settings: Mapping[str, Any], *, source: str = "config") -> Config:
    """A preset with some settings replaced; the setting ``preset`` names it (default: paper).

    Raises:
        InputError: Unknown or ill-typed settings, all of them in one line.
    """
    settings = renamed(settings)
    problems = [p for key, value in settings.items() if (p := _problem(key, value))]
    if problems:
        raise InputError(f"{source} has settings to mend: {'; '.join(problems)}")
    values: dict[str, Any] = {}
    for key, value in settings.items():
        kind: Any = _TYPES[key]
        values[key] = tuple(value) if get_origin(kind) is tuple else kind(value)
    return dataclasses.replace(PRESETS[values.get("preset", "paper")], **values)


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under today's names: ``clamp`` became ``handler``.

    Example:
        >>> renamed({"clamp": "first", "seed": 1})
        {'handler': 'first', 'seed': 1}
    """
    return {_RENAMED.get(key, key): value for key, value in settings.items()}


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that may be older than some of them.

    A setting that came later than the run had its default in it, whatever its preset says now.
    """
    return {**settings_of(Config()), **renamed(settings)}


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, not yet checked.

    Raises:
        InputError: A missing or damaged file, or one of more than 64 kB.
    """
    try:
        if path.stat().st_size > 65_536:
            raise InputError(f"{path} is to be a config of up to 64 kB, but is larger; check it")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is to be a config file, but does not exist; check it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is to be a TOML file: {error}; mend that place") from None


def settings_of(config: Config) -> dict[str, Any]:
    """Every setting, as TOML and JSON can hold it."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(config).items()
    }
