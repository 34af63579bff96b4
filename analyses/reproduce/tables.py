"""Put the results into analyses/README.md: python analyses/reproduce/tables.py

Each ``<!-- table NAME -->`` … ``<!-- end -->`` of the page becomes the table of that name, made
from the JSON files in ``results/``; a row that was not run yet is left out. Prose stays as it is.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOTHING = "*Not run yet.*\n"

Summary = Mapping[str, Any]


def cell(found: Mapping[str, Any] | None, scale: float = 1.0, digits: int = 2) -> str:
    """Mean over seeds and half its 95 % t interval; of one seed the value alone."""
    if found is None:
        return "–"
    text = f"{found['value'] * scale:.{digits}f}"
    if found["high"] is not None:
        text += f" ± {(found['high'] - found['value']) * scale:.{digits}f}"
    return text


def slashed(row: Summary, key: str, scale: float = 1.0, digits: int = 2) -> str:
    """A measure of each factor: its mean over seeds."""
    parts = []
    for factor in row["factors"].values():
        one = factor[key]
        if one is None:
            parts.append("–")
            continue
        parts.append(f"{one['value'] * scale:.{digits}f}")
    return " / ".join(parts)


COLUMNS: dict[str, Callable[[Summary], str]] = {
    "seeds": lambda r: str(len(r["seeds"])),
    "mse, 1e-4": lambda r: cell(r["mse"], 1e4),
    "rank correlation": lambda r: slashed(r, "spearman", digits=3),
    "sin/cos probe R²": lambda r: slashed(r, "circular_r2", digits=3),
    "edited ÷ reconstructed": lambda r: slashed(r, "rerender_ratio"),
    "leakage, draws": lambda r: slashed(r, "leakage"),
    "leakage, means": lambda r: slashed(r, "leakage_means"),
    "edited, 1e-4": lambda r: slashed(r, "rerender_mse", 1e4, 1),
    "not edited, 1e-4": lambda r: slashed(r, "no_edit_mse", 1e4, 1),
    "MIG": lambda r: cell(r["mig"], digits=3),
    "test ELBO": lambda r: cell(r["elbo"], digits=0),
    "gained in the last fifth": lambda r: cell(r["late_gain"], digits=1),
    "seconds": lambda r: cell(r["training_seconds"], digits=0),
}


def table(found: Mapping[str, Any], columns: Sequence[str]) -> str:
    """A row of Markdown for each row of an experiment."""
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, row in found["summary"].items():
        if row["seeds"]:
            cells = [COLUMNS[column](row) for column in columns]
        else:
            cells = ["failed"] + ["–"] * (len(columns) - 1)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def kinks(found: Mapping[str, Any]) -> str:
    """Jump and slope of the azimuth latent at 0, a row for each run."""
    lines = ["| run | gap at 0 | largest gap elsewhere | slope at 0 |", "|---|---:|---:|---:|"]
    for key, run in found["runs"].items():
        if "kink" in run and run["row"] != "faces-entangled":
            kink = run["kink"]
            jump, slope = (
                f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
                for one in (kink["jump"], kink["slope"])
            )
            lines.append(f"| {key} | {jump} | {kink['elsewhere']:.3f} | {slope} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else NOTHING


def calls(found: Mapping[str, Any]) -> str:
    """How long each call of the script took, all of it."""
    lines = ["| device | runs measured | rendering, s | whole call, s |", "|---|---:|---:|---:|"]
    lines += [
        f"| {c['device']}, torch {c['torch']} | {len(c['measured'])} | {c['rendering']:.0f} | "
        f"{c['seconds']:.0f} |"
        for c in found["calls"]
        if c["measured"]
    ]
    return "\n".join(lines) + "\n"


READING = ["seeds", "mse, 1e-4", "rank correlation", "edited ÷ reconstructed", "leakage, draws"]
TURNING = ["seeds", "mse, 1e-4", "sin/cos probe R²", "edited ÷ reconstructed", "leakage, draws",
           "edited, 1e-4", "not edited, 1e-4", "seconds"]  # fmt: skip

TABLES: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "faces": ("faces", lambda f: table(f, [*READING, "leakage, means", "MIG", "seconds"])),
    "edits": (
        "faces",
        lambda f: table(
            f, ["edited, 1e-4", "not edited, 1e-4", "test ELBO", "gained in the last fifth"]
        ),
    ),
    "kink": ("faces", kinks),
    "faces_calls": ("faces", calls),
    "chairs": ("chairs", lambda f: table(f, TURNING)),
    "chairs_calls": ("chairs", calls),
    "ablations": ("ablations", lambda f: table(f, [*READING, "leakage, means", "test ELBO"])),
    "grid": ("grid", lambda f: table(f, [*READING, "test ELBO"])),
}
"""The JSON file that each table is made from, and how."""


def filled(page: str, results: Path) -> str:
    """The page with every table made anew."""

    def made(match: re.Match[str]) -> str:
        source, make = TABLES[match[2]]
        path = results / f"{source}.json"
        body = NOTHING
        if path.is_file():
            body = make(json.loads(path.read_text(encoding="utf-8")))
        return match[1] + body + match[3]

    return BLOCK.sub(made, page)


def main(page: Path, results: Path) -> None:
    """Rewrite the page."""
    page.write_text(filled(page.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(HERE.parent / "README.md", HERE / "results")
