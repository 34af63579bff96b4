"""What the numbers of a check mean, in plain words; NumPy and ArviZ only, no torch.

A verdict is *flagged* where a number is both beyond chance and of a size that matters. For a guide
that is exact the chance of any flag is 1 % in all: SBC spends it (Bonferroni over the latents), and
the other limits lie four standard errors beyond a margin, or are never reached by equal weights.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pyro_dcign.posterior import arviz_bridge
from pyro_dcign.posterior.ecdf import uniformity
from pyro_dcign.posterior.findings import Findings, Verdict

FALSE_ALARMS = 0.01
ERRORS = 4.0
SHIFT = 0.25  # sds of NUTS
STRAY = 0.05  # of the distribution of LOO-PIT
RATIO = 1.25
NATS = 1.0
BAD_IMAGES = 0.1
COVERAGE = 0.05  # of the images
LEVELS = (0.5, 0.9, 0.95)
RHAT = 1.05
LEAST_ESS = 50.0
ACTIVE = 0.01
_FEW = "one image says nothing of how others differ; give more with --images"


def judge(findings: Findings) -> list[Verdict]:
    """Every verdict, in the order of the page."""
    makers = (
        _coverage,
        _weights,
        _bound,
        _gap,
        _sbc,
        _nuts,
        _predictive,
        _loo_pit,
        _aggregate,
        _units,
    )
    made = [verdict for maker in makers for verdict in maker(findings)]
    refused = [
        Verdict(name, "all", None, f"{name} is not asked: {why}")
        for name, why in findings.refused.items()
    ]
    return made + refused


def _coverage(findings: Findings) -> Iterator[Verdict]:
    for factor in findings.factors("coverage"):
        below, sd, off = findings.arrays[f"coverage/{factor}"].astype(np.float64).T
        inside = {level: float((np.abs(2 * below - 1) <= level).mean()) for level in LEVELS}
        figures = {f"inside_{100 * level:.0f}": share for level, share in inside.items()}
        figures |= {
            "sd": float(np.median(sd)),
            "rms": float(np.sqrt((off**2).mean())),
            "bias": float(off.mean()),
            "images": len(below),
        }
        margins = {p: COVERAGE + ERRORS * (p * (1 - p) / len(below)) ** 0.5 for p in LEVELS}
        ok = all(abs(inside[p] - p) <= margins[p] for p in LEVELS)
        shares = ", ".join(f"{share:.0%} of {level:.0%}" for level, share in inside.items())
        text = (
            f"the true {factor} of {len(below)} images lies in {shares} intervals; sd "
            f"{figures['sd']:.2f} (median), error {figures['rms']:.2f} (rms), in degrees for angles"
        )
        if not ok:
            worst = max(LEVELS, key=lambda p: abs(inside[p] - p))
            text += f": they are too {'narrow' if inside[worst] < worst else 'wide'}"
            text += f", {_blame(findings, factor)}"
        yield Verdict("coverage", factor, ok, text, figures)


def _blame(findings: Findings, factor: str) -> str:
    """Whether the model or the guide misplaces the truth, by what NUTS says of the guide."""
    about = [v.ok for v in _nuts(findings) if v.subject.partition("[")[0] == factor]
    judged = [ok for ok in about if ok is not None]
    if not judged:
        return "by the guide's fault or the model's: NUTS could not say whose"
    if all(judged):
        return "and NUTS agrees with the guide: the model is wrong"
    return "and NUTS disagrees with the guide: the guide is wrong"


def _weights(findings: Findings) -> Iterator[Verdict]:
    about = {
        "joint": "the whole code",
        "extrinsic": "the extrinsic latents, given the intrinsic ones",
    }
    for subject, what in about.items():
        if subject not in findings.arrays:
            continue
        weights = findings.arrays[subject]
        k, limit = arviz_bridge.pareto_k(weights), arviz_bridge.good_k(len(weights))
        bad = float((k > limit).mean())
        finite = np.where(np.isfinite(k), k, 9.0)
        figures = {
            "median": float(np.median(finite)),
            "worst": float(finite.max()),
            "limit": limit,
            "share_above": bad,
            "images": len(k),
            "draws": len(weights),
        }
        text = (
            f"k̂ of {what}: median {figures['median']:.2f}, worst {figures['worst']:.2f}; "
            f"{bad:.0%} of {len(k)} images above {limit:.2f}"
        )
        text += (
            ": the guide misses part of the posterior, do not reweight its draws"
            if bad > BAD_IMAGES
            else ": the guide serves as an importance proposal"
        )
        yield Verdict("pareto_k", subject, bad <= BAD_IMAGES, text, figures)


def _bound(findings: Findings) -> Iterator[Verdict]:
    weights = findings.arrays["joint"]
    top = weights.max(0)
    elbo, bound = weights.mean(0), top + np.log(np.exp(weights - top).mean(0))
    gain = float((bound - elbo).mean())
    figures = {"elbo": float(elbo.mean()), "bound": float(bound.mean()), "gain": gain}
    text = (
        f"importance weighting {len(weights)} draws adds {gain:.1f} nats to the ELBO of "
        f"{figures['elbo']:.1f}"
    )
    far = ": so far at least is the guide from the posterior (KL)"
    text += far if gain > NATS else ": little is lost"
    yield Verdict("bound", "joint", gain <= NATS, text, figures)


def _gap(findings: Findings) -> Iterator[Verdict]:
    if "refined" not in findings.arrays:
        return
    refined, error = findings.arrays["refined"], findings.arrays["refined_error"]
    weights = findings.arrays["joint"][:, : len(refined)]
    own = weights.mean(0)
    gap = float((refined - own).mean())
    spread = weights.std(0) / len(weights) ** 0.5
    noise = float(np.sqrt((error**2 + spread**2).sum()) / len(refined))
    text = (
        f"a normal fitted to each of {len(refined)} images gains {gap:.1f} ± {noise:.1f} nats over "
        "the guide"
    )
    text += ": that is what amortising costs" if gap > noise else ": amortising costs nothing"
    ok = gap <= NATS + ERRORS * noise
    yield Verdict("amortisation_gap", "joint", ok, text, {"gap": gap, "error": noise})


def _latents(findings: Findings, check: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for factor in findings.factors(check):
        values = findings.arrays[f"{check}/{factor}"]
        for i in range(values.shape[-1]):
            yield (factor if values.shape[-1] == 1 else f"{factor}[{i}]"), values[..., i]


def _sbc(findings: Findings) -> Iterator[Verdict]:
    every = list(_latents(findings, "sbc"))
    for subject, ranks in every:
        alpha = FALSE_ALARMS / len(every)
        found = uniformity(ranks.astype(np.float64), alpha=alpha)
        figures = {
            "p": found.p,
            "alpha": alpha,
            "mean": float(ranks.mean()),
            "sd": float(ranks.std()) * 12**0.5,  # 1 for the uniform law
            "simulations": len(ranks),
        }
        ok = found.p > alpha
        text = f"SBC of {subject}, on {len(ranks)} pictures that the model draws: "
        if ok:
            text += f"ranks are uniform (p = {found.p:.3f})"
        else:
            p = f"p = {found.p:.4f}" if found.p > 0.0003 else "p < 0.0003"
            text += f"{_shape(figures)} ({p})"
        yield Verdict("sbc", subject, ok, text, figures)


def _shape(figures: Mapping[str, float]) -> str:
    error = (12 * figures["simulations"]) ** -0.5
    off = figures["mean"] - 0.5
    if abs(off) > max(4 * error, 0.3 * abs(figures["sd"] - 1)):
        return f"the guide reads it too {'low' if off > 0 else 'high'}"
    if figures["sd"] > 1:
        return "the guide is overconfident, the truth lies in its tails"
    return "the guide is too wide, the truth lies in its middle"


def _nuts(findings: Findings) -> Iterator[Verdict]:
    for subject, chains in _latents(findings, "nuts"):
        factor, _, index = subject.partition("[")
        guides = findings.arrays[f"guide/{factor}"][..., int(index[:-1] or 0) if index else 0]
        pairs = zip(chains.astype(np.float64), guides.astype(np.float64), strict=True)
        rows = [_against(c, g) for c, g in pairs]
        good = [r for r in rows if r["rhat"] <= RHAT and r["ess"] >= LEAST_ESS]
        worst, least = max(r["rhat"] for r in rows), min(r["ess"] for r in rows)
        if not good:
            text = f"NUTS did not settle on {subject} (r̂ {worst:.2f}, ESS {least:.0f})"
            text += ": no comparison; give it more draws"
            yield Verdict("nuts", subject, None, text, {"rhat": worst, "ess": least})
            continue
        mean = {key: float(np.mean([r[key] for r in good])) for key in good[0]}
        log_ratio = mean["log_ratio"]
        ratio_error = float(np.sqrt(np.sum([r["ratio_error"] ** 2 for r in good])) / len(good))
        figures = {
            "shift": mean["shift"],
            "shift_error": mean["shift_error"],
            "sd_ratio": float(np.exp(log_ratio)),
            "ratio_error": ratio_error,
            "wasserstein": mean["wasserstein"],
            "rhat": max(r["rhat"] for r in good),
            "ess": min(r["ess"] for r in good),
            "images": len(good),
            "asked": len(rows),
        }
        shifted = mean["shift"] > SHIFT + ERRORS * mean["shift_error"]
        scaled = abs(log_ratio) > np.log(RATIO) + ERRORS * ratio_error
        yield Verdict("nuts", subject, not (shifted or scaled), _words(subject, figures), figures)


def _words(subject: str, figures: Mapping[str, float]) -> str:
    ratio, said = figures["sd_ratio"], []
    if abs(np.log(ratio)) > np.log(RATIO) + ERRORS * figures["ratio_error"]:
        fault = "overconfident" if ratio < 1 else "too wide"
        said.append(f"the guide is {fault} about {subject}: sd {ratio:.2f} of NUTS's")
    if figures["shift"] > SHIFT + ERRORS * figures["shift_error"]:
        said.append(
            f"the guide misplaces {subject}: its mean is off by {figures['shift']:.2f} sd of NUTS's"
        )
    if not said:
        said = [
            f"the guide agrees with NUTS about {subject}: mean within {figures['shift']:.2f} sd, "
            f"sd {ratio:.2f} of NUTS's"
        ]
    return "; ".join(said) + (
        f" (wasserstein {figures['wasserstein']:.2f} sd; r̂ {figures['rhat']:.2f}, "
        f"ESS {figures['ess']:.0f}, settled on {figures['images']} of {figures['asked']} images)"
    )


def _against(chains: NDArray[Any], guide: NDArray[Any]) -> dict[str, float]:
    """The guide's draws of one latent of one image against NUTS's (chains, draws)."""
    sd, flat = float(chains.std(ddof=1)), chains.reshape(-1)
    sd = max(sd, 1e-12)
    own, n = max(float(guide.std(ddof=1)), 1e-12), len(guide)
    mean_error = float(np.hypot(arviz_bridge.mcse(chains) / sd, own / sd / n**0.5))
    return {
        "shift": abs(float(guide.mean() - chains.mean())) / sd,
        "shift_error": mean_error,
        "log_ratio": float(np.log(own / sd)),
        "ratio_error": float(np.hypot(arviz_bridge.mcse(chains, "sd") / sd, (2 * n) ** -0.5)),
        "wasserstein": float(stats.wasserstein_distance(guide / sd, flat / sd)),
        "rhat": arviz_bridge.rhat(chains),
        "ess": arviz_bridge.ess(chains),
    }


def _predictive(findings: Findings) -> Iterator[Verdict]:
    if "predictive" not in findings.arrays:
        return
    p = findings.arrays["predictive"]
    if len(p) < 2:
        yield Verdict("predictive", "image", None, f"posterior predictive: {_FEW}")
        return
    extreme = float(((p < 0.01) | (p > 0.99)).mean())
    median = float(np.median(p))
    text = f"posterior predictive: {extreme:.0%} of {len(p)} images are unlike their replicates"
    if extreme > BAD_IMAGES:
        text += ", with residuals " + ("smaller" if median > 0.5 else "larger")
        text += " than the likelihood expects"
    figures = {"extreme": extreme, "median": median, "images": len(p)}
    yield Verdict("predictive", "image", extreme <= BAD_IMAGES, text, figures)


def _loo_pit(findings: Findings) -> Iterator[Verdict]:
    if "loo_pit" not in findings.arrays:
        return
    pit = findings.arrays["loo_pit"]
    if len(pit) < 2:
        yield Verdict("loo_pit", "pixel", None, f"LOO-PIT: {_FEW}")
        return
    grid = np.arange(1, 20) / 20
    below = (pit[..., None] <= grid).mean(1)
    # The pixels of one image err together, so it is images that are counted.
    spread = below.std(0, ddof=1)
    error = np.maximum(spread**2 / len(pit), grid * (1 - grid) / pit.size) ** 0.5
    stray = np.abs(below.mean(0) - grid)
    ok = bool((stray <= STRAY + ERRORS * error).all())
    figures = {
        "stray": float(stray.max()),
        "mean": float(pit.mean()),
        "sd": float(pit.std()) * 12**0.5,  # 1 for the uniform law
        "images": len(pit),
        "pixels": pit.size,
    }
    text = f"LOO-PIT of {pit.size} pixels of {len(pit)} images: "
    if ok:
        text += f"within {figures['stray']:.2f} of uniform"
    else:
        off = figures["mean"] - 0.5
        if abs(off) > 0.3 * abs(figures["sd"] - 1):
            text += f"pictures are predicted too {'dark' if off > 0 else 'bright'}"
        else:
            narrow = figures["sd"] > 1
            text += f"the likelihood's noise is too {'narrow' if narrow else 'wide'}"
        text += f" (strays {figures['stray']:.2f} from uniform)"
    yield Verdict("loo_pit", "pixel", ok, text, figures)


def _aggregate(findings: Findings) -> Iterator[Verdict]:
    for subject, z in _latents(findings, "aggregate"):
        if len(z) < 2:
            yield Verdict("aggregate", subject, None, f"{subject} over all images: {_FEW}")
            continue
        mean, sd = float(z.mean()), float(z.std())
        kl = (sd**2 + mean**2 - 1) / 2 - float(np.log(max(sd, 1e-12)))
        distance = float(stats.kstest(z, "norm").statistic)
        text = (
            f"{subject} over all images: mean {mean:+.2f}, sd {sd:.2f} against the prior's 0 and 1"
        )
        if abs(mean) > 0.5 or sd > RATIO:
            text += ", so pictures of prior draws show but a part of it"
        figures = {"mean": mean, "sd": sd, "kl": kl, "ks": distance, "images": len(z)}
        yield Verdict("aggregate", subject, None, text, figures)


def _units(findings: Findings) -> Iterator[Verdict]:
    if len(findings.arrays.get("means", ())) > 1:
        variance = findings.arrays["means"].var(0)
        active = int((variance > ACTIVE).sum())
        text = f"{active} of {len(variance)} latents are in use"
        figures = {"active": active, "latents": len(variance)}
        yield Verdict("active_units", "code", None, text, figures)
