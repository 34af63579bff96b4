"""What a network measured of itself, as tables."""

from collections.abc import Sequence
from typing import Any, final

import pandas as pd

from pyro_dcign.measures import table
from pyro_dcign.posterior import Findings, Verdict, page


class Evaluation(dict[str, Any]):
    """The measures of a network, as ``pyro-dcign evaluate --json`` prints them.

    Example:
        >>> whole = {"value": 0.002, "low": 0.001, "high": 0.003}
        >>> Evaluation(mse=whole, factors={"azimuth": {"leakage": whole}}, mig=None).to_frame()
            factor  measure  value    low   high
        0               mse  0.002  0.001  0.003
        1  azimuth  leakage  0.002  0.001  0.003
    """

    def __str__(self) -> str:
        return table(self)

    def __repr__(self) -> str:
        return f"Evaluation({self.get('images')} images of {self.get('identities')} identities)"

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, na_rep="–"))

    def to_frame(self) -> pd.DataFrame:
        """A row for each measure that could be taken; intervals are of 95 %, over identities."""
        return pd.DataFrame(
            [row for key, value in self.items() for row in _rows("", key, value)],
            columns=["factor", "measure", "value", "low", "high"],
        )


def _rows(factor: str, key: str, found: Any) -> list[tuple[Any, ...]]:
    """Rows of one entry: an interval, a number, or a table of them."""
    if isinstance(found, dict) and set(found) == {"value", "low", "high"}:
        return [(factor, key, found["value"], found["low"], found["high"])]
    if isinstance(found, dict) and key == "factors":
        each = ((name, k, v) for name, held in found.items() for k, v in held.items())
        return [row for entry in each for row in _rows(*entry)]
    if isinstance(found, dict):
        return [r for name, value in found.items() for r in _rows(factor, f"{key}.{name}", value)]
    numbers = isinstance(found, int | float) and not isinstance(found, bool)
    return [(factor, key, found, None, None)] if numbers else []


@final
class Check:
    """What a check of the posterior found: arrays, and a verdict on each question.

    Attributes:
        findings: The arrays that were measured.
        verdicts: In the order of the page.

    Example:
        >>> check = Check(Findings({}), [Verdict("sbc", "light", False, "light is too narrow")])
        >>> check
        Check(1 of 1 verdicts flagged)
        >>> print(check.to_frame().to_string(index=False))
        check subject  flagged                text
          sbc   light     True light is too narrow
    """

    def __init__(self, findings: Findings, verdicts: Sequence[Verdict]) -> None:
        self.findings, self.verdicts = findings, list(verdicts)

    @property
    def flagged(self) -> int:
        """Verdicts that found something wrong."""
        return sum(verdict.ok is False for verdict in self.verdicts)

    def __repr__(self) -> str:
        judged = sum(verdict.ok is not None for verdict in self.verdicts)
        return f"Check({self.flagged} of {judged} verdicts flagged)"

    def __str__(self) -> str:
        return page(self.verdicts)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))

    def to_frame(self) -> pd.DataFrame:
        """A row for each verdict."""
        rows = [(v.check, v.subject, v.ok is False, v.text) for v in self.verdicts]
        return pd.DataFrame(rows, columns=["check", "subject", "flagged", "text"])
