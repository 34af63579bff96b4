"""Is the posterior right? Checks with ArviZ, which loads when the first of them is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_dcign.posterior.arviz_bridge import pareto_k
    from pyro_dcign.posterior.check import Effort, measure
    from pyro_dcign.posterior.data import FILE, drawn_data, posterior_data
    from pyro_dcign.posterior.figures import write_check_figures
    from pyro_dcign.posterior.findings import Findings, Verdict, page
    from pyro_dcign.posterior.verdicts import judge
    from pyro_dcign.posterior.weights import bounds, importance

__all__ = [
    "FILE", "Effort", "Findings", "Verdict", "bounds", "drawn_data", "importance", "judge",
    "measure", "page", "pareto_k", "posterior_data", "write_check_figures",
]  # fmt: skip

_MODULES = {
    "FILE": "data",
    "Effort": "check",
    "Findings": "findings",
    "Verdict": "findings",
    "bounds": "weights",
    "drawn_data": "data",
    "importance": "weights",
    "judge": "verdicts",
    "measure": "check",
    "page": "findings",
    "pareto_k": "arviz_bridge",
    "posterior_data": "data",
    "write_check_figures": "figures",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"{__name__} has no {name}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
