"""ArviZ 0.23 and ArviZ 1.x behind the same few functions; NumPy in, NumPy out, no torch.

Between the two lines the sign of PSIS weights, the form of ``from_dict``, the default intervals and
the container changed. Everything that this package asks of ArviZ is asked here, so the rest need
not know which one is installed.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_dcign.files import whole

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # 0.23 announces 1.0 on import
    import arviz as az

VERSION: str = az.__version__
OLD = int(az.__version__.split(".")[0]) < 1
"""Whether ArviZ is of the 0.x line."""

FLAT = -1.0
"""What k̂ is said to be where all weights are equal: a tail that is bounded."""

MIN_DRAWS = 100

Array = NDArray[np.floating[Any]]
Groups = Mapping[str, Mapping[str, NDArray[Any]]]


def pareto_k(log_weights: Array) -> Array:
    """Pareto k̂ of the importance weights p / q along the first axis: (draws, …) to (…).

    Below 0.5 the proposal q serves; above :func:`good_k` importance sampling fails. Weights that
    are equal up to 1e-6 give :data:`FLAT` (0.23 says infinity, 1.x raises), those that are not
    finite give infinity.

    Raises:
        ValueError: Fewer than 100 draws, too few for a tail.

    Example:
        >>> pareto_k(np.zeros((100, 2))).tolist()
        [-1.0, -1.0]
    """
    values = np.asarray(log_weights, dtype=np.float64)
    if len(values) < MIN_DRAWS:
        raise ValueError(f"pareto_k() needs {MIN_DRAWS} or more draws, got {len(values)}")
    columns = values.reshape(len(values), -1).T
    found = np.full(len(columns), np.inf)
    finite = np.isfinite(columns).all(1)
    flat = np.zeros_like(finite)
    flat[finite] = np.ptp(columns[finite], axis=1) < 1e-6
    found[flat] = FLAT
    for i in np.flatnonzero(finite & ~flat):
        found[i] = _psis(columns[i] - columns[i].max())[1]
    return found.reshape(values.shape[1:])


def _psis(log_weights: Array) -> tuple[Array, float]:
    """Smoothed log weights of one column, up to a constant, and their k̂."""
    if OLD:
        smooth, k = az.psislw(log_weights.copy())
        return smooth, float(k)
    from arviz_stats.base import array_stats  # noqa: PLC0415 - not there in 0.23

    # 1.x takes log likelihoods to be left out, whose weights are their inverse.
    try:
        smooth, k = array_stats.psislw(-log_weights)
    except ValueError:  # a tail whose weights are all equal
        return log_weights, FLAT
    if np.isfinite(k):
        return smooth, float(k)
    # Single precision ties the tail's weights, which 1.x cannot fit: undo the rounding by a draw.
    step = np.diff(np.unique(log_weights)).min()
    noise = np.random.default_rng(0).uniform(-step / 2, step / 2, log_weights.shape)
    smooth, k = array_stats.psislw(-(log_weights + noise))
    return smooth, float(k)


def loo_pit(observed: Array, replicated: Array, log_likelihood: Array) -> Array:
    """Where each observation lies among replicates that did not see it: (points,) in [0, 1].

    Replicates are weighted by 1 / p(observation | draw), smoothed, so that each observation is
    judged by the posterior that the others give (Vehtari, Gelman, Gabry 2017, arXiv 1507.04544).

    Args:
        observed: (points,), continuous.
        replicated: One for each draw: (draws, points).
        log_likelihood: Of the observation under each draw: (draws, points).
    """
    ratios = -np.asarray(log_likelihood, dtype=np.float64).T
    ratios -= ratios.max(1, keepdims=True)
    weights = np.stack([_psis(row)[0] for row in ratios])
    weights -= np.log(np.exp(weights).sum(1, keepdims=True))
    y, replicates = (np.asarray(a, dtype=np.float64) for a in (observed, replicated.T))
    if OLD:
        found = az.loo_pit(y=y, y_hat=replicates, log_weights=weights)
    else:
        from arviz_stats.base import array_stats  # noqa: PLC0415 - not there in 0.23

        found = array_stats.loo_pit(replicates, y, weights, chain_axis=None)
    return np.asarray(found, dtype=np.float64)


def good_k(draws: int) -> float:
    """The k̂ up to which so many draws give a usable estimate (Vehtari et al. 2024, PSIS)."""
    return float(min(1 - 1 / np.log10(draws), 0.7))


def rhat(draws: Array) -> float:
    """Rank-normalised split r̂ of (chains, draws)."""
    return _number(az.rhat(np.asarray(draws)))


def ess(draws: Array) -> float:
    """Bulk effective sample size of (chains, draws)."""
    return _number(az.ess(np.asarray(draws), method="bulk"))


def mcse(draws: Array, of: str = "mean") -> float:
    """Monte Carlo standard error of the mean or the sd of (chains, draws)."""
    return _number(az.mcse(np.asarray(draws), method=of))


def hdi(draws: Array, prob: float) -> tuple[float, float]:
    """Highest-density interval of (draws,); its probability is always said, defaults moved."""
    option = {"hdi_prob": prob} if OLD else {"prob": prob}
    low, high = np.asarray(az.hdi(np.asarray(draws), **option)).tolist()
    return low, high


def _number(found: Any) -> float:
    return float(np.asarray(found).reshape(()))


def tree(
    groups: Groups,
    *,
    coords: Mapping[str, Sequence[Any]],
    dims: Mapping[str, Sequence[str]],
    attributes: Mapping[str, str] | None = None,
) -> Any:
    """An ``InferenceData`` (0.23) or a ``DataTree`` (1.x) with the same content.

    Args:
        groups: Variables of each group; all but the data groups begin with (chain, draw).
        coords: Labels of each dimension.
        dims: Dimensions of each variable after chain and draw.
        attributes: Said of the whole.
    """
    options: dict[str, Any] = {
        "coords": {name: list(labels) for name, labels in coords.items()},
        "dims": {name: list(names) for name, names in dims.items()},
    }
    plain: dict[str, Any] = {group: dict(variables) for group, variables in groups.items()}
    # The nested form on 0.23 would make one group of junk without a word.
    made = az.from_dict(**plain, **options) if OLD else az.from_dict(plain, **options)
    made.attrs.update(attributes or {})
    return made


def joined(first: Any, second: Any) -> Any:
    """One container with the groups of two that share none."""
    if OLD:
        first.extend(second)
    else:
        for name, child in second.children.items():
            first[name] = child
    return first


def groups(data: Any) -> tuple[str, ...]:
    """Names of the groups of either container."""
    return tuple(data.groups()) if OLD else tuple(data.children)


def variable(data: Any, group: str, name: str) -> Any:
    """One variable of a group as an ``xarray.DataArray``."""
    return data[group][name]


def save(data: Any, path: Path) -> Path:
    """Write NetCDF, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        data.to_netcdf(str(temporary), engine="h5netcdf")
    return path


def load(path: Path) -> Any:
    """Read what :func:`save` wrote, by either line."""
    if OLD:
        return az.from_netcdf(str(path), engine="h5netcdf")
    import xarray  # noqa: PLC0415 - comes with ArviZ, and is asked by one line of it only

    found = xarray.open_datatree(path, engine="h5netcdf")
    return found.load()
