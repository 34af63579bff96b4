"""Typed minibatches through SVI: schedule, feed, steps, records."""

from pyro_dcign.training.processes import Processes, is_first, join, leave, take_own_gpu
from pyro_dcign.training.record import METRICS, Record
from pyro_dcign.training.resume import MAY_CHANGE
from pyro_dcign.training.signals import Signals
from pyro_dcign.training.svi import TypedSVI, typed_svi
from pyro_dcign.training.train import Trainer

__all__ = [
    "MAY_CHANGE", "METRICS", "Processes", "Record", "Signals", "Trainer", "TypedSVI", "is_first",
    "join", "leave", "take_own_gpu", "typed_svi",
]  # fmt: skip
