"""What a fit may call between blocks of steps; ``metrics.jsonl`` is written without any.

A callback is a function of the network and a row: a flat dictionary with ``step``, ``seconds``, and
losses as ``train/<type>/<term>`` and ``test/<term>``. One that returns True ends the fit.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, final

from pyro_dcign.training import Record

Row: TypeAlias = Mapping[str, float]
Callback: TypeAlias = Callable[[Any, Row], Any]


def row_of(record: Record) -> dict[str, float]:
    """A record as one flat row."""
    train = {f"train/{t}/{k}": v for t, terms in record.train.items() for k, v in terms.items()}
    test = {f"test/{name}": value for name, value in record.test.items()}
    return {"step": record.step, "seconds": record.seconds, **train, **test}


@final
class CSV:
    """Write each number of a fit as a line ``step,seconds,name,value`` of a file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = CSV(Path(folder) / "fit.csv")
        ...     log(None, {"step": 10, "seconds": 1.5, "test/elbo": -9.0})
        ...     print(log.path.read_text(), end="")
        step,seconds,name,value
        10,1.5,test/elbo,-9.0
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __call__(self, net: Any, row: Row) -> None:
        """Add the numbers of one block of steps."""
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            write = csv.writer(file, lineterminator="\n").writerow
            if new:
                write(["step", "seconds", "name", "value"])
            for name in sorted(set(row) - {"step", "seconds"}):
                write([row["step"], row["seconds"], name, row[name]])


@final
class TensorBoard:
    """Send each number of a fit to a ``SummaryWriter``.

    Args:
        writer: Of ``torch.utils.tensorboard``, or anything with its ``add_scalar``.

    Example:
        >>> class Writer:
        ...     def add_scalar(self, name, value, step):
        ...         print(name, value, step)
        >>> TensorBoard(Writer())(None, {"step": 10, "seconds": 1.5, "test/elbo": -9.0})
        test/elbo -9.0 10
    """

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def __call__(self, net: Any, row: Row) -> None:
        """Send the numbers of one block of steps."""
        for name in sorted(set(row) - {"step", "seconds"}):
            self.writer.add_scalar(name, row[name], row["step"])


@final
class WandB:
    """Send each row of a fit to a run of Weights & Biases.

    Args:
        run: What ``wandb.init()`` returned, or anything with its ``log``.

    Example:
        >>> class Run:
        ...     def log(self, numbers, step):
        ...         print(numbers, step)
        >>> WandB(Run())(None, {"step": 10, "test/elbo": -9.0})
        {'step': 10, 'test/elbo': -9.0} 10
    """

    def __init__(self, run: Any) -> None:
        self.run = run

    def __call__(self, net: Any, row: Row) -> None:
        """Send the numbers of one block of steps."""
        self.run.log(dict(row), step=int(row["step"]))
