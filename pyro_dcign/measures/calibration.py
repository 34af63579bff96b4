"""Calibration: which latents carry each extrinsic factor, and how they run with its value."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.datasets import EvaluationSet, evaluation_set
from pyro_dcign.errors import InputError, refuse
from pyro_dcign.files import content, parse_json, write_whole
from pyro_dcign.measures.curve import Curve, curve_of
from pyro_dcign.measures.familiarity import quantiles_of
from pyro_dcign.runs import (
    CALIBRATION,
    Codes,
    Origin,
    Run,
    encode,
    newest_step,
    origin_in,
    origin_of,
    own_store,
)

FILE = CALIBRATION
FORMAT = "pyro-dcign calibration"
VERSION = 1
IMAGES = 3000
PAIRS = 300

_KNOTS = 40
_HARMONICS = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A curve for each extrinsic factor whose true values were known.

    Attributes:
        curves: By factor, in the order of the graphics code.
        images: Training images that the curves were fitted on.
        origin: The parameters and data that they are of; None in files older than origins.
        familiarity: Quantiles of reconstruction errors of test images, see
            :mod:`pyro_dcign.measures.familiarity`; empty where they were not measured.
    """

    curves: Mapping[str, Curve]
    images: int
    origin: Origin | None = None
    familiarity: Mapping[str, float] = field(default_factory=dict)

    def curve(self, factor: str) -> Curve:
        """The curve of one factor.

        Raises:
            InputError: A factor that was not calibrated.
        """
        if factor not in self.curves:
            raise InputError(
                f"factor is one of {', '.join(self.curves) or '(none)'}, got {factor!r}; "
                f"choose one of the run's calibrated factors"
            )
        return self.curves[factor]

    def latents(self, factor: str, values: Tensor | Sequence[float]) -> Float[Tensor, "n k"]:
        """The factor's latents at values in its own unit (degrees for angles)."""
        found = self.curve(factor).at(np.asarray(values, dtype=float))
        return torch.from_numpy(found).float()

    def factor_values(self, factor: str, codes: Codes) -> Float[Tensor, " images"]:
        """The factor's value that whole codes (images, latents) stand for, approximately."""
        curve = self.curve(factor)
        own = codes[:, list(curve.indices)].double().numpy()
        return torch.from_numpy(curve.nearest(own)).float()

    def edit(self, codes: Codes, factor: str, values: Tensor | Sequence[float]) -> Codes:
        """Codes with the factor set to a value for each, all other latents kept."""
        edited = codes.clone()
        edited[:, list(self.curve(factor).indices)] = self.latents(factor, values).to(codes.dtype)
        return edited

    def others(self, factor: str, latents: int) -> list[int]:
        """Indices of all latents but the factor's own."""
        own = self.curve(factor).indices
        return [i for i in range(latents) if i not in own]


def calibrate(run: Run, images: EvaluationSet, *, seed: int = 0) -> Calibration:
    """Fit each extrinsic factor's curve on posterior means of up to 3,000 training images.

    One latent gets a monotone curve: isotonic regression on the means of 40 bins, rising or
    falling by the sign of the rank correlation. Several latents of a periodic factor get a closed
    curve, a Fourier series of order 4. One latent of a periodic factor cannot follow a full circle:
    it gets the mean latent by angle, and a note. Factors whose values are unknown are left out.

    The latents are the code's own. A run trained without the clamp has no such assignment; there,
    as in the paper (section 5.1), a factor's latents are those that vary most over images in which
    only that factor changes.

    Args:
        run: With trained networks.
        images: Of the training split.
        seed: Of the choice of images.
    """
    draw = np.random.default_rng(seed)
    rows = torch.from_numpy(np.sort(draw.permutation(len(images.pixels))[:IMAGES]))
    means = encode(run, images.pixels[rows]).double().numpy()
    curves = {}
    for name, limits in run.factors.items():
        if name not in images.factors:
            continue
        truth = images.factors[name][rows].double().numpy()
        known = np.isfinite(truth)
        if np.unique(truth[known]).size < 2:
            continue
        own = run.code.slices()[name]
        indices = tuple(range(own.start, own.stop))
        if run.config.handler == "none":
            indices = _most_varying(run, images, name, len(indices), seed)
            if not indices:
                indices = _most_correlated(means[known], truth[known], own.stop - own.start)
        curves[name] = _fit(indices, truth[known], means[known][:, indices], limits)
    return Calibration(curves, len(rows), origin_of(run, images.data))


def _most_varying(
    run: Run, images: EvaluationSet, factor: str, count: int, seed: int
) -> tuple[int, ...]:
    pairs = images.pairs(factor, cap=PAIRS, seed=seed)
    if not len(pairs[0]):
        return ()
    first, second = (encode(run, images.pixels[rows]) for rows in pairs)
    # Half the mean squared difference within pairs is the variance within their minibatches.
    variance = (first - second).square().mean(0)
    return tuple(variance.topk(count).indices.tolist())


def _most_correlated(means: Array, truth: Array, count: int) -> tuple[int, ...]:
    scores = [_rank_correlation(means[:, i], truth) for i in range(means.shape[1])]
    return tuple(int(i) for i in np.argsort(-np.abs(scores))[:count])


def _rank_correlation(a: Array, b: Array) -> float:
    constant = a.min() == a.max() or b.min() == b.max()
    return 0.0 if constant else float(spearmanr(a, b).statistic)


def _fit(indices: tuple[int, ...], truth: Array, codes: Array, limits: FactorRange) -> Curve:
    if limits.period:
        truth = limits.low + (truth - limits.low) % limits.period
    if limits.period and len(indices) > 1:
        knots = np.linspace(limits.low, limits.low + limits.period, 73)[:-1]
        weights = np.linalg.lstsq(_harmonics(truth, limits.period), codes, rcond=None)[0]
        fitted, note = _harmonics(knots, limits.period) @ weights, ""
    else:
        knots, fitted, counts = _bin_means(truth, codes)
        note = "one latent cannot follow a full circle; set periodic_latents to 2"
        if not limits.period:
            note = ""
            for i in range(fitted.shape[1]):
                rising = _rank_correlation(codes[:, i], truth) >= 0
                isotonic = IsotonicRegression(increasing=rising)
                fitted[:, i] = isotonic.fit(knots, fitted[:, i], counts).predict(knots)
    rows = tuple(tuple(row) for row in fitted.tolist())
    return Curve(indices, tuple(knots.tolist()), rows, limits.period, note)


def _harmonics(angles: Array, period: float) -> Array:
    phase = angles[:, None] * (2 * math.pi / period) * np.arange(1, _HARMONICS + 1)
    return np.hstack([np.ones((len(angles), 1)), np.cos(phase), np.sin(phase)])


def _bin_means(truth: Array, codes: Array) -> tuple[Array, Array, Array]:
    """Mean value, mean codes and size of each bin; a grid of few values is its own bins."""
    levels, bins = np.unique(truth, return_inverse=True)
    if len(levels) > 2 * _KNOTS:
        edges = np.linspace(truth.min(), truth.max(), _KNOTS + 1)[1:-1]
        _, bins = np.unique(np.digitize(truth, edges), return_inverse=True)
    counts = np.bincount(bins).astype(float)
    means = [np.bincount(bins, column) / counts for column in (truth, *codes.T)]
    return means[0], np.stack(means[1:], -1), counts


def write_calibration(calibration: Calibration, folder: Path, *, name: str = FILE) -> None:
    """Write ``calibration.json`` into a run directory."""
    factors = {name: vars(curve) for name, curve in calibration.curves.items()}
    head = {"format": FORMAT, "version": VERSION, "images": calibration.images}
    if calibration.origin is not None:
        head["of"] = asdict(calibration.origin)
    if calibration.familiarity:
        head["familiarity"] = dict(calibration.familiarity)
    text = json.dumps({**head, "factors": factors}, indent=1, allow_nan=False)
    write_whole(folder / name, text + "\n")


def read_calibration(run: Run, *, name: str = FILE) -> Calibration:
    """The calibration of a run's directory, whichever parameters it is of.

    Raises:
        InputError: No such file, or one that does not fit the run.
    """
    path = run.folder / name
    if not path.is_file():
        raise InputError(
            f"{run.folder} is to hold {FILE}, but has none; evaluate the run with its training data"
        )
    text = content(path, 2**20, remedy="remove and remake it")
    try:
        found = parse_json(text)
        if (found["format"], found["version"]) != (FORMAT, VERSION):
            raise ValueError(f"not {FORMAT} of version {VERSION}")
        curves = {name: _checked(run, name, entry) for name, entry in found["factors"].items()}
        familiarity = _quantiles(found.get("familiarity", {}))
        return Calibration(curves, int(found["images"]), origin_in(found.get("of")), familiarity)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise refuse(path, "a calibration", error, "remove and remake it") from None


def open_calibration(run: Run) -> Calibration:
    """The calibration of the run's parameters as they are.

    Where the run has none, or one of other parameters, it is made and written now if its data are
    here. An older checkpoint than the newest has a file of its own. A calibration that does not say
    which parameters it is of is taken as it is.

    Raises:
        InputError: No calibration of these parameters and no data to make one, or a damaged one.
    """
    name, now, found = _name(run), origin_of(run), None
    if (run.folder / name).is_file():
        found = read_calibration(run, name=name)
        if found.origin is None or found.origin.parameters == now.parameters:
            return found
    store = own_store(run)
    if store is not None:
        made = calibrate(run, evaluation_set(store, "train"))
        made = replace(made, familiarity=quantiles_of(run, evaluation_set(store)))
        write_calibration(made, run.folder, name=name)
        return made
    if found is None:
        return read_calibration(run, name=name)
    raise InputError(
        f"{run.folder / name} is to be of {now}, but is of {found.origin}, and the training data "
        "to make it anew are not here; restore them, or that state of the run"
    )


def _name(run: Run) -> str:
    step = run.model.step
    newest = step is None or step == (newest_step(run.folder) or step)
    return FILE if newest else f"calibration-step-{step:09d}.json"


def _quantiles(found: Any) -> dict[str, float]:
    kept = {str(level): float(error) for level, error in found.items()}
    if kept and not ({"0.5", "0.99"} <= set(kept) and all(0 < e <= 1 for e in kept.values())):
        raise ValueError("familiarity is to hold errors in (0, 1] at 0.5 and 0.99")
    return kept


def _checked(run: Run, name: str, entry: Any) -> Curve:
    if name not in run.factors:
        raise ValueError(f"factor {name!r} is not the run's")
    try:
        return curve_of(entry, latents=run.code.latents, period=run.factors[name].period)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
