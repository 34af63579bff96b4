"""What can the network do? Calibration, measures, tables and figures."""

from pyro_dcign.measures.calibration import Calibration, open_calibration
from pyro_dcign.measures.compare import (
    GUIDES,
    as_csv,
    as_table,
    fit_and_measure,
    measure_run,
    summarise,
)
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.measures.familiarity import Familiarity, errors_of, judged
from pyro_dcign.measures.figures.comparison import comparison
from pyro_dcign.measures.figures.curves import read_metrics
from pyro_dcign.measures.figures.of_a_run import save, write_figures
from pyro_dcign.measures.figures.pictures import sweep, sweep_values
from pyro_dcign.measures.figures.strips import Sweeps, frames, strip, write_pictures
from pyro_dcign.measures.people import PEOPLE, open_people
from pyro_dcign.measures.reporting import report
from pyro_dcign.measures.tables import table

__all__ = [
    "GUIDES", "PEOPLE", "Calibration", "Familiarity", "Sweeps", "as_csv", "as_table", "comparison",
    "errors_of", "evaluate", "fit_and_measure", "frames", "judged", "measure_run",
    "open_calibration", "open_people", "read_metrics", "report", "save", "strip", "summarise",
    "sweep", "sweep_values", "table", "write_figures", "write_pictures",
]  # fmt: skip
