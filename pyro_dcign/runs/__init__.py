"""A run's folder: its configuration, networks, checkpoints and the codes read from it."""

from pyro_dcign.runs.checkpoint import (  # isort: skip
    FOLDER, OPTIMIZER, PARAMETERS, RANDOM, STATE, best_checkpoint, load_parameters,
    newest_checkpoint, read_json, read_tensors, save_checkpoint, tidy,
)  # fmt: skip
from pyro_dcign.runs.codes import (  # isort: skip
    IMAGES_AT_ONCE, AtMean, Codes, batch_size, decode, draw, draw_codes, encode, posterior_mean,
    undisturbed,
)  # fmt: skip
from pyro_dcign.runs.loading import load_run
from pyro_dcign.runs.prior import PRIOR, fit_prior, load_prior, write_prior

from pyro_dcign.runs.provenance import (  # isort: skip
    CALIBRATION, PICTURES, Origin, data_of, forget_undated, newest_step, origin_in, origin_of,
    own_store, remember_pictures, trained_identities,
)  # fmt: skip
from pyro_dcign.runs.run import (
    CONFIG,
    Run,
    build,
    code_of,
    default_run,
    people_run,
    untrained_run,
    write_run_config,
)

__all__ = [
    "CALIBRATION", "CONFIG", "FOLDER", "IMAGES_AT_ONCE", "OPTIMIZER", "PARAMETERS", "PICTURES",
    "PRIOR", "RANDOM", "STATE", "AtMean", "Codes", "Origin", "Run", "batch_size", "best_checkpoint",
    "build", "code_of", "data_of", "decode", "default_run", "draw", "draw_codes", "encode",
    "fit_prior", "forget_undated", "load_parameters", "load_prior", "load_run", "newest_checkpoint",
    "newest_step", "origin_in", "origin_of", "own_store", "people_run", "posterior_mean",
    "read_json", "read_tensors", "remember_pictures", "save_checkpoint", "tidy",
    "trained_identities", "undisturbed", "untrained_run", "write_prior", "write_run_config",
]  # fmt: skip
