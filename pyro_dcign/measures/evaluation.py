"""Evaluation: how well a run reconstructs, disentangles and edits people it never saw."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images, intensities, shifted
from pyro_dcign.measures import intervals
from pyro_dcign.measures.calibration import Calibration
from pyro_dcign.measures.disentanglement import columns, disentanglement
from pyro_dcign.measures.intervals import Array, Interval, interval, resamples
from pyro_dcign.runs import Codes, Run, decode, draw, encode

IMAGES = 2500
PAIRS = 400
ACTIVE = 0.01
MOVED = 0.08
"""Most that pictures are shifted by for ``angle_error_moved``, of their side."""
PENALTIES = np.logspace(-2, 4, 13)

Measures = dict[str, Any]


def evaluate(
    run: Run, images: EvaluationSet, calibration: Calibration, *, seed: int = 0
) -> Measures:
    """Every measure of a run on images of identities that it was not trained on.

    Codes are posterior means, the guide runs unclamped, nothing is trained and every generator is
    left as it was. Of larger sets, all images of as many identities as fit into 2,500 are taken.
    An interval is ``{"value", "low", "high"}``: 95 %, bootstrapped over identities. A measure that
    the set cannot give (no pairs, no true values) is None.

    Returns:
        ``mse``, ``swap_mse`` (the person of one picture under every extrinsic latent of another
        picture of the same person, against that other picture; the pairs are those of
        :meth:`EvaluationSet.pairs`), ``swap_pairs``, ``elbo`` (nats an image), ``active_units``;
        for each extrinsic factor in
        ``factors``: ``latents`` that carry it, ``spearman``, ``circular_r2``, ``angle_error`` (rms
        error of the value that the calibrated curve reads, in the factor's unit),
        ``angle_error_moved`` (the same of pictures shifted by up to 8 % of the frame), ``leakage``,
        ``leakage_means``, ``rerender_mse``, ``rerender_ratio``, ``no_edit_mse`` and ``pairs``; then
        the measures of :mod:`pyro_dcign.measures.disentanglement`, and ``images`` and
        ``identities``.

    Raises:
        InputError: No images.
    """
    if not len(images):
        raise InputError("evaluation needs 1 or more images, got none; give a larger set")
    images = _some(images.resized(run.config.side), seed)
    codes = encode(run, images.pixels)
    drawn, reconstruction, kl = draw(run, images.pixels, seed=seed)
    pictures = decode(run, codes)
    errors = _errors(pictures, images)
    moved = encode(run, shifted(images.pixels, MOVED, seed=seed))
    seen = _Seen(run, images, calibration, codes, drawn, moved, pictures, errors, seed)
    weights = seen.weights()
    known = {name: seen.truth(name) for name in run.factors if seen.knows(name)}
    periods = {name: limits.period for name, limits in run.factors.items() if limits.period}
    measures: Measures = {
        "mse": interval(intervals.mean(weights, errors)),
        **_swapping(seen),
        "elbo": interval(intervals.mean(weights, -(reconstruction + kl).double().numpy())),
        "active_units": int((codes.var(0, correction=0) > ACTIVE).sum()),
        "factors": {name: dict.fromkeys(FACTOR_MEASURES) for name in run.factors},
    }
    for name in known:
        measures["factors"][name] |= {
            **_reading(seen, name),
            "leakage": _leakage(seen, name, drawn),
            "leakage_means": _leakage(seen, name, codes),
            **_editing(seen, name),
        }
    measures |= disentanglement(codes.double().numpy(), known, periods, seed=seed)
    return measures | {"images": len(images), "identities": len(images.identity.unique())}


FACTOR_MEASURES = (
    "latents",
    "spearman",
    "circular_r2",
    "angle_error",
    "angle_error_moved",
    "leakage",
    "leakage_means",
    "rerender_mse",
    "rerender_ratio",
    "no_edit_mse",
    "pairs",
)
"""Keys of each factor's measures."""


@dataclass(frozen=True)
class _Seen:
    """Images and all that the run makes of them."""

    run: Run
    images: EvaluationSet
    calibration: Calibration
    codes: Codes
    drawn: Codes
    moved: Codes
    pictures: Images
    errors: Array
    seed: int

    def knows(self, factor: str) -> bool:
        """Whether a factor is calibrated and its true values are known."""
        truth = self.images.factors.get(factor)
        known = truth is not None and bool(torch.isfinite(truth).all())
        return known and factor in self.calibration.curves

    def truth(self, factor: str) -> Array:
        return self.images.factors[factor].double().numpy()

    def targets(self, factor: str) -> Array:
        """What a probe is to predict: (images, 1), or cosine and sine of a periodic factor."""
        return columns(self.truth(factor), self.calibration.curve(factor).period)

    def weights(self, rows: Any = slice(None)) -> Array:
        return resamples(self.images.identity.numpy()[rows], seed=self.seed)

    def probe(self, probe: Any, inputs: Array, targets: Array) -> Interval | None:
        """R² of a probe fitted on one half of the identities, on the other half."""
        who, where = np.unique(self.images.identity.numpy(), return_inverse=True)
        half = np.random.default_rng(self.seed).permutation(len(who))[: len(who) // 2]
        fit = np.isin(where, half)
        if min(fit.sum(), (~fit).sum()) < 10:
            return None
        probe.fit(inputs[fit], targets[fit])
        predicted = probe.predict(inputs[~fit]).reshape(targets[~fit].shape)
        return interval(intervals.r2(self.weights(~fit), targets[~fit], predicted))


def _some(images: EvaluationSet, seed: int) -> EvaluationSet:
    """All images of as many identities as fit into the limit, in a seeded order."""
    if len(images) <= IMAGES:
        return images
    who, where, counts = np.unique(images.identity.numpy(), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(who))
    kept = order[: max(1, int((counts[order].cumsum() <= IMAGES).sum()))]
    rows = torch.from_numpy(np.flatnonzero(np.isin(where, kept))[:IMAGES])
    factors = {name: values[rows] for name, values in images.factors.items()}
    return EvaluationSet(images.pixels[rows], factors, images.identity[rows], images.ranges)


def _errors(pictures: Images, images: EvaluationSet) -> Array:
    chunks = zip(pictures.split(256), images.pixels.split(256), strict=True)
    parts = [(p - intensities(x)).square().mean((1, 2, 3)) for p, x in chunks]
    return torch.cat(parts).double().numpy()


def _reading(seen: _Seen, factor: str) -> Measures:
    """Agreement of a factor's own latents with its true value."""
    curve = seen.calibration.curve(factor)
    own = seen.codes[:, list(curve.indices)].double().numpy()
    found: Measures = {
        "latents": list(curve.indices),
        "angle_error": _angle_error(seen, factor, seen.codes),
        "angle_error_moved": _angle_error(seen, factor, seen.moved),
    }
    if curve.period:
        splines = make_pipeline(SplineTransformer(n_knots=8), RidgeCV(PENALTIES))
        return found | {"circular_r2": seen.probe(splines, own, seen.targets(factor))}
    read = own[:, 0] if own.shape[1] == 1 else curve.nearest(own)
    ranks = intervals.spearman(seen.weights(), read, seen.truth(factor))
    return found | {"spearman": interval(ranks * (1 if ranks[0] >= 0 else -1))}


def _angle_error(seen: _Seen, factor: str, codes: Codes) -> Interval | None:
    """Root mean square error of the value that the curve reads; around a circle the short way."""
    period = seen.calibration.curve(factor).period
    off = seen.calibration.factor_values(factor, codes).double().numpy() - seen.truth(factor)
    if period:
        off = (off + period / 2) % period - period / 2
    return interval(np.sqrt(intervals.mean(seen.weights(), off**2)))


def _leakage(seen: _Seen, factor: str, codes: Codes) -> Interval | None:
    """R² of a ridge regression of a factor on all latents but its own."""
    others = codes[:, seen.calibration.others(factor, codes.shape[1])].double().numpy()
    ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    return seen.probe(ridge, others, seen.targets(factor))


def _swapping(seen: _Seen) -> Measures:
    """How near one picture's intrinsic code under another's whole pose comes to the other."""
    code = seen.run.code
    names = [name for name in code.extrinsic if name in seen.images.factors]
    first, second = seen.images.pairs(*names, cap=PAIRS, seed=seen.seed)
    if not code.extrinsic or not len(first):
        return {"swap_mse": None, "swap_pairs": 0}
    pose = code.active_latents(code.active(INTRINSIC)).logical_not()
    swapped = decode(seen.run, torch.where(pose, seen.codes[second], seen.codes[first]))
    targets = intensities(seen.images.pixels[second])
    errors = (swapped - targets).square().mean((1, 2, 3)).double().numpy()
    found = intervals.mean(seen.weights(first.numpy()), errors)
    return {"swap_mse": interval(found), "swap_pairs": len(first)}


def _editing(seen: _Seen, factor: str) -> Measures:
    """How near an edited image comes to the true one, and what not editing would give."""
    first, second = seen.images.pairs(factor, cap=PAIRS, seed=seen.seed)
    if not len(first):
        return {"pairs": 0}
    targets = intensities(seen.images.pixels[second])
    values = seen.images.factors[factor][second]
    edited = decode(seen.run, seen.calibration.edit(seen.codes[first], factor, values))
    edit, stay = (
        (made - targets).square().mean((1, 2, 3)).double().numpy()
        for made in (edited, seen.pictures[first])
    )
    weights = seen.weights(first.numpy())
    rebuilt = intervals.mean(weights, seen.errors[second.numpy()])
    return {
        "rerender_mse": interval(intervals.mean(weights, edit)),
        "rerender_ratio": interval(intervals.mean(weights, edit) / rebuilt),
        "no_edit_mse": interval(intervals.mean(weights, stay)),
        "pairs": len(first),
    }
