"""Figures of a run: what it reconstructs, edits and reads, remade after the paper's figures.

Every function returns a matplotlib ``Figure`` of its own; no global figure, backend or style is
touched.
"""

from pathlib import Path

from pyro_dcign.datasets import EvaluationSet, Store, evaluation_set
from pyro_dcign.measures.calibration import Calibration, open_calibration
from pyro_dcign.measures.figures.curves import read_metrics, readings, training_curves
from pyro_dcign.measures.figures.pictures import editings, reconstructions, sweeps
from pyro_dcign.runs import Run, origin_of
from pyro_dcign.style import save
from pyro_dcign.training import METRICS

__all__ = [
    "editings",
    "read_metrics",
    "readings",
    "reconstructions",
    "save",
    "sweeps",
    "training_curves",
    "write_figures",
]


def write_figures(
    run: Run,
    store: Store,
    *,
    calibration: Calibration | None = None,
    entangled: tuple[Run, Calibration] | None = None,
) -> list[Path]:
    """Write every figure of a run as PNG into ``RUN/figures``, from the store's test identities.

    Args:
        run: With trained networks.
        store: Whose test split is shown.
        calibration: The run's; else read from its directory, or made from its data.
        entangled: A run without the clamp on the same data, to be shown beside this one.

    Returns:
        The files: ``reconstructions.png``, ``sweep-<factor>.png`` for each factor,
        ``readings.png``, ``editings.png`` and ``training.png``.
    """
    calibration = calibration or open_calibration(run)
    images: EvaluationSet = evaluation_set(store).resized(run.config.side)
    figures = {"reconstructions": reconstructions(run, images)}
    for factor in calibration.curves:
        figures[f"sweep-{factor}"] = sweeps(run, calibration, images, factor)
    if calibration.curves:
        figures["readings"] = readings(run, calibration, images)
        figures["editings"] = editings(run, calibration, images, entangled=entangled)
    metrics = run.folder / METRICS
    if metrics.is_file():
        figures["training"] = training_curves(read_metrics(metrics))
    said = f"pyro-dcign, {origin_of(run, images.data)}"
    return [
        save(figure, run.figures / f"{name}.png", made_from=said)
        for name, figure in figures.items()
    ]
