"""The measures of a run as a table for a terminal."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from pyro_dcign.measures.intervals import Interval

DEAD = (
    "Training collapsed: the code tells images apart by nothing, and each is decoded as the same\n"
    "picture. Train again with --warmup 100, or with a lower --learning-rate."
)
"""Said of a run without active latents: larger first steps kill a decoder's rectifiers."""


def table(measures: Mapping[str, Any]) -> str:
    """The measures as a few lines for a terminal; errors in units of 1e-4."""
    lines = [
        f"{measures['images']} images of {_whose(measures)}; 95 % intervals over identities",
        f"reconstruction error (mse, 1e-4)   {_cell(measures['mse'], 1e4)}",
        f"swapped poses (mse, 1e-4)          {_cell(measures.get('swap_mse'), 1e4)}",
        f"ELBO of an image (nats)            {_cell(measures['elbo'], 1.0, 0)}",
        f"active latents                     {_number(measures['active_units'], 0)}",
    ]
    if measures["active_units"] == 0:
        lines.append(DEAD)
    lines.append("")
    rows = [
        ("rank correlation", "spearman", 1.0, 3),
        ("sin/cos probe R²", "circular_r2", 1.0, 3),
        ("leakage R², drawn", "leakage", 1.0, 2),
        ("leakage R², means", "leakage_means", 1.0, 2),
        ("edited mse, 1e-4", "rerender_mse", 1e4, 1),
        ("not edited, 1e-4", "no_edit_mse", 1e4, 1),
        ("edited / reconstr.", "rerender_ratio", 1.0, 2),
    ]
    factors = measures["factors"]
    if factors:
        lines.append(" " * 20 + "".join(f"{name:>22}" for name in factors))
    for label, key, scale, digits in rows:
        if any(values[key] is not None for values in factors.values()):
            cells = (_cell(values[key], scale, digits) for values in factors.values())
            lines.append(f"{label:<20}" + "".join(f"{cell:>22}" for cell in cells))
    if measures["mig"] is not None:
        dci = measures["dci"]
        parts = " / ".join(_number(value, 3) for value in dci.values())
        single = {name: _number(measures[name], 3) for name in ("mig", "sap", "modularity")}
        lines += [
            "",
            f"MIG {single['mig']}   SAP {single['sap']}   DCI {parts}   "
            f"modularity {single['modularity']}   "
            f"explicitness {_number(measures['explicitness'], 3)}",
        ]
    notes = [*_unknown(measures), *measures.get("notes", ())]
    if notes:
        lines += ["", *(part for note in notes for part in wrap(f"note: {note}", 100))]
    return "\n".join(lines)


def _whose(measures: Mapping[str, Any]) -> str:
    """Of how many identities, as far as it is known whether they were trained on."""
    people, trained = measures["identities"], measures.get("trained_on", 0)
    if trained is None:
        return f"{people} identities"
    return f"{people} identities {f'({trained} trained on)' if trained else 'never trained on'}"


def _unknown(measures: Mapping[str, Any]) -> list[str]:
    if measures.get("trained_on", 0) is not None:
        return []
    return ["whether the network was trained on these identities is not known"]


def _cell(found: Interval | None, scale: float = 1.0, digits: int = 1) -> str:
    if found is None:
        return "–"
    value, low, high = (
        None if (number := found[key]) is None else number * scale
        for key in ("value", "low", "high")
    )
    if low is None or high is None:
        return _number(value, digits)
    return f"{_number(value, digits)} [{_number(low, digits)}, {_number(high, digits)}]"


def _number(value: float | None, digits: int) -> str:
    # Adding 0.0 turns a negative zero into zero.
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"
