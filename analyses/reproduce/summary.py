"""Rows of an experiment over their seeds: mean, 95 % t interval, lowest and highest."""

from collections.abc import Mapping, Sequence
from typing import Any

from learning import late_gain

from pyro_dcign.measures.intervals import over_seeds

FACTOR = ("spearman", "circular_r2", "leakage", "leakage_means", "rerender_mse", "rerender_ratio",
          "no_edit_mse")  # fmt: skip
WHOLE = ("mse", "elbo", "mig", "sap", "modularity", "explicitness", "active_units")


def summarise(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One entry for each row, in the order in which the rows first came."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault(run["row"], []).append(run)
    return {name: _row(members) for name, members in groups.items()}


def _row(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    good = [run for run in members if "measures" in run]
    found: dict[str, Any] = {
        "seeds": sorted(run["seed"] for run in good),
        "failed": {str(run["seed"]): run["failed"] for run in members if "failed" in run},
        "steps": members[-1]["settings"]["steps"],
    }
    if not good:
        return found
    found |= {name: _over([run["measures"][name] for run in good]) for name in WHOLE}
    for key in ("training_seconds", "ms_a_step"):
        found[key] = _over([run[key] for run in good])
    found["late_gain"] = _over([late_gain(run["test_elbo"]) for run in good])
    factors = good[0]["measures"]["factors"]
    found["factors"] = {
        factor: {
            name: _over([run["measures"]["factors"][factor][name] for run in good])
            for name in FACTOR
        }
        for factor in factors
    }
    kinks = [run["kink"] for run in good if "kink" in run]
    if kinks:
        found["kink"] = {
            "jump": _over([kink["jump"] for kink in kinks]),
            "slope": _over([kink["slope"] for kink in kinks]),
            "elsewhere": _over([kink["elsewhere"] for kink in kinks]),
        }
    return found


def _over(values: Sequence[Any]) -> dict[str, Any] | None:
    plain = [value["value"] if isinstance(value, Mapping) else value for value in values]
    known = [float(value) for value in plain if value is not None]
    found = over_seeds(known)
    return found and {**found, "least": min(known), "most": max(known)}
