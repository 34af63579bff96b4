"""What a check measured, as arrays, and what was concluded, as sentences; no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Findings:
    """The arrays that a check measured.

    Attributes:
        arrays: ``joint`` and ``extrinsic`` log weights (draws, images); ``refined`` and
            ``refined_error`` (images); ``predictive`` (images); ``loo_pit`` (images, points);
            ``means`` (images, latents); and for each extrinsic factor ``sbc/F`` (simulations,
            latents), ``nuts/F`` (images, chains, draws, latents), ``guide/F`` (images, draws,
            latents), ``aggregate/F`` (images, latents) and ``coverage/F`` (images, 3): the share of
            draws below the true value, their sd and their mean less the truth, in F's unit.
        refused: Checks that cannot be made, and why.
    """

    arrays: Mapping[str, NDArray[Any]]
    refused: Mapping[str, str] = field(default_factory=dict)

    def factors(self, check: str) -> list[str]:
        """Factors that a check has arrays of."""
        return [name.split("/")[1] for name in self.arrays if name.startswith(f"{check}/")]

    def save(self, path: Path) -> None:
        """Write every array to an npz without pickles."""
        reasons = {f"refused/{name}": np.array(why) for name, why in self.refused.items()}
        np.savez_compressed(path, **self.arrays, **reasons)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "Findings":
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
        refused = {n.split("/")[1]: str(v) for n, v in held.items() if n.startswith("refused/")}
        return cls({n: v for n, v in held.items() if not n.startswith("refused/")}, refused)


@dataclass(frozen=True)
class Verdict:
    """One sentence on one check.

    Attributes:
        check: Which check.
        subject: What it is about: a factor, a latent, "joint".
        ok: Passed, flagged, or None where it only informs or could not be made.
        text: In plain words.
        figures: The numbers behind it.
    """

    check: str
    subject: str
    ok: bool | None
    text: str
    figures: Mapping[str, float] = field(default_factory=dict)


def page(verdicts: Sequence[Verdict]) -> str:
    """One line a verdict, flags marked, and a line that counts them."""
    marks = {True: "ok  ", False: "FLAG", None: "    "}
    lines = [f"{marks[verdict.ok]}  {verdict.text}" for verdict in verdicts]
    flagged = sum(verdict.ok is False for verdict in verdicts)
    judged = sum(verdict.ok is not None for verdict in verdicts)
    return "\n".join([*lines, "", f"{flagged} of {judged} verdicts flagged"])
