"""A run's folder: its configuration, networks, checkpoints and the codes read from it."""

from pyro_dcign.runs.checkpoint import (
    FOLDER,
    OPTIMIZER,
    PARAMETERS,
    RANDOM,
    STATE,
    best_checkpoint,
    load_parameters,
    newest_checkpoint,
    read_json,
    read_tensors,
    save_checkpoint,
    tidy,
)
from pyro_dcign.runs.codes import (
    IMAGES_AT_ONCE,
    AtMean,
    Codes,
    batch_size,
    decode,
    draw,
    draw_codes,
    encode,
    posterior_mean,
    undisturbed,
)
from pyro_dcign.runs.prior import PRIOR, fit_prior, load_prior, write_prior
from pyro_dcign.runs.run import CONFIG, Run, build, code_of, default_run, open_run, write_run_config

__all__ = [
    "CONFIG", "FOLDER", "IMAGES_AT_ONCE", "OPTIMIZER", "PARAMETERS", "PRIOR", "RANDOM", "STATE",
    "AtMean", "Codes", "Run", "batch_size", "best_checkpoint", "build", "code_of", "decode",
    "default_run", "draw", "draw_codes", "encode", "fit_prior", "load_parameters", "load_prior",
    "newest_checkpoint", "open_run", "posterior_mean", "read_json", "read_tensors",
    "save_checkpoint", "tidy", "undisturbed", "write_prior", "write_run_config",
]  # fmt: skip
