"""The measures of a run as a table for a terminal."""

from collections.abc import Mapping
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
        f"{measures['images']} images of {measures['identities']} identities never trained on; "
        "95 % intervals over identities",
        f"reconstruction error (mse, 1e-4)   {_cell(measures['mse'], 1e4)}",
        f"swapped poses (mse, 1e-4)          {_cell(measures.get('swap_mse'), 1e4)}",
        f"ELBO of an image (nats)            {_cell(measures['elbo'], 1.0, 0)}",
        f"active latents                     {measures['active_units']}",
    ]
    if not measures["active_units"]:
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
    return "\n".join(lines)


def _cell(found: Interval | None, scale: float = 1.0, digits: int = 1) -> str:
    if found is None:
        return "–"
    value, low, high = (found[key] * scale for key in ("value", "low", "high"))
    return f"{_number(value, digits)} [{_number(low, digits)}, {_number(high, digits)}]"


def _number(value: float | None, digits: int) -> str:
    # Adding 0.0 turns a negative zero into zero.
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"
