"""Disentanglement of codes against true factors: MIG, DCI, SAP, modularity and explicitness.

Each is the published definition on scikit-learn; :func:`disentanglement` reports bins and probes.

- MIG: R. Chen et al., "Isolating Sources of Disentanglement in VAEs", 2018.
- DCI: C. Eastwood, C. Williams, "A Framework for the Quantitative Evaluation of Disentangled
  Representations", 2018.
- SAP: A. Kumar et al., "Variational Inference of Disentangled Latent Concepts", 2018.
- Modularity, explicitness: K. Ridgeway, M. Mozer, "Learning Deep Disentangled Embeddings with the
  F-Statistic Loss", 2018.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Array = NDArray[np.float64]
Levels = NDArray[np.int64]

BINS = 20
CLASSES = 10
IMAGES = 2000
TREES: dict[str, Any] = {"n_estimators": 100, "max_depth": 3, "max_features": None}


def levels(values: Array, bins: int = BINS) -> Levels:
    """Each value's level: its own where there are few, else one of equally wide bins."""
    distinct, own = np.unique(values, return_inverse=True)
    if len(distinct) <= bins:
        return own.astype(np.int64)
    edges = np.linspace(values.min(), values.max(), bins + 1)[1:-1]
    return np.digitize(values, edges).astype(np.int64)


def mutual_information(codes: Array, factors: Array, bins: int = BINS) -> Array:
    """Mutual information of each latent and factor in nats, from histograms: (latents, factors)."""
    binned = [levels(column, bins) for column in codes.T]
    known = [levels(column, bins) for column in factors.T]
    return np.array([[_information(a, b) for b in known] for a in binned])


def _information(a: Levels, b: Levels) -> float:
    joint = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1))
    table = joint.reshape(a.max() + 1, b.max() + 1) / len(a)
    total = entropy(table.sum(0)) + entropy(table.sum(1)) - entropy(table.ravel())
    return max(0.0, float(total))


def _gap(scores: Array) -> Array:
    """First minus second best latent for each factor of (latents, factors)."""
    best = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), axis=0)
    gap: Array = best[-1] - best[-2]
    return gap


def mig(information: Array, entropies: Array) -> float:
    """Mutual information gap: first minus second latent, over the factor's entropy."""
    return float(np.mean(_gap(information) / entropies))


def sap(scores: Array) -> float:
    """Separated attribute predictability: first minus second latent's R² of a linear regression."""
    return float(np.mean(_gap(scores)))


def linear_scores(codes: Array, targets: list[Array]) -> Array:
    """R² of each factor's columns regressed on each latent alone: (latents, factors)."""
    z = codes - codes.mean(0)
    spread = np.maximum((z**2).mean(0), 1e-12)
    rows = []
    for target in targets:
        y = target - target.mean(0)
        covariance = z.T @ y / len(z)
        rows.append((covariance**2).sum(1) / spread / np.maximum((y**2).mean(0).sum(), 1e-12))
    return np.stack(rows, -1)


def disentanglement_of(importance: Array) -> float:
    """DCI's disentanglement: how far each latent serves one factor; (latents, factors)."""
    return _concentration(importance.T)


def completeness_of(importance: Array) -> float:
    """DCI's completeness: how far each factor is served by one latent; (latents, factors)."""
    return _concentration(importance)


def _concentration(importance: Array) -> float:
    """One minus the entropy of each column over its maximum, weighted by the column's sum."""
    if importance.sum() == 0:
        return 0.0
    if len(importance) == 1:
        return 1.0  # there is nothing to be mixed up with
    each = 1 - entropy(importance + 1e-11, base=len(importance))
    return float(np.sum(each * importance.sum(0) / importance.sum()))


def modularity_of(information: Array) -> float:
    """Mean over latents of how far each informs on one factor only; an empty latent counts 0."""
    squares = information**2
    best = squares.max(1)
    if squares.shape[1] < 2:
        return float(np.mean(best > 0))
    rest = squares.sum(1) - best
    each = 1 - rest / np.where(best > 0, best * (squares.shape[1] - 1), 1)
    return float(np.mean(np.where(best > 0, each, 0)))


def columns(values: Array, period: float | None) -> Array:
    """What a regression predicts: (images, 1), or cosine and sine of a periodic factor."""
    if period is None:
        return values[:, None]
    phase = values * (2 * math.pi / period)
    return np.stack([np.cos(phase), np.sin(phase)], -1)


def disentanglement(
    codes: Array, factors: Mapping[str, Array], periods: Mapping[str, float], *, seed: int = 0
) -> dict[str, Any]:
    """All measures of codes (images, latents) against factors, each (images,).

    Up to 2,000 images are taken, one half to fit the probes, the other to score them. A periodic
    factor enters the regressions as its sine and cosine. Constant factors are left out; identity
    is none of the factors, so latents that carry it count as empty in ``modularity``.

    Args:
        codes: Posterior means.
        factors: True values by name.
        periods: Period of each periodic factor.
        seed: Of the choice of images, the halves and the trees.
    """
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(codes))[:IMAGES]
    z = codes[rows]
    kept = {n: f[rows] for n, f in factors.items() if len(np.unique(f[rows])) > 1}
    if not kept or len(rows) < 4 * CLASSES:
        return dict.fromkeys(("mig", "dci", "sap", "modularity", "explicitness")) | {"probes": None}
    targets = [columns(f, periods.get(n)) for n, f in kept.items()]
    truth = np.stack(list(kept.values()), -1)
    information = mutual_information(z, truth)
    entropies = np.array([entropy(np.bincount(levels(f))) for f in truth.T])
    importance, informativeness = _importance(z, targets, seed)
    return {
        "mig": mig(information, entropies),
        "dci": {
            "disentanglement": disentanglement_of(importance),
            "completeness": completeness_of(importance),
            "informativeness": informativeness,
        },
        "sap": sap(linear_scores(z, targets)),
        "modularity": modularity_of(information),
        "explicitness": _explicitness(z, truth),
        "probes": {
            "sklearn": sklearn.__version__,
            "images": len(rows),
            "seed": seed,
            "factors": list(kept),
            "mig, modularity": f"{BINS} equally wide bins",
            "dci": f"GradientBoostingRegressor({_options(TREES)}), R² of the other half",
            "sap": "R² of one latent, linear",
            "explicitness": f"LogisticRegression, AUC one against rest, {CLASSES} classes",
        },
    }


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _importance(z: Array, targets: list[Array], seed: int) -> tuple[Array, float]:
    half, rows, scores = len(z) // 2, [], []
    for target in targets:
        found = []
        for y in target.T:
            trees = GradientBoostingRegressor(**TREES, random_state=seed)
            trees.fit(z[:half], y[:half])
            found.append(trees.feature_importances_)
            scores.append(trees.score(z[half:], y[half:]))
        rows.append(np.mean(found, axis=0))
    return np.stack(rows, -1), float(np.mean(scores))


def _explicitness(z: Array, truth: Array) -> float | None:
    half, found = len(z) // 2, []
    for factor in truth.T:
        known = levels(factor, CLASSES)
        if len(np.unique(known[:half])) < 2:
            continue
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        probe.fit(z[:half], known[:half])
        chances = probe.predict_proba(z[half:])
        for column, level in enumerate(probe.classes_):
            hit = known[half:] == level
            if 0 < hit.sum() < len(hit):
                found.append(roc_auc_score(hit, chances[:, column]))
    return float(np.mean(found)) if found else None
