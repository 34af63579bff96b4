"""SIGTERM and SIGINT: the first asks to stop after the step, the second stops at once."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, final


@final
class Signals:
    """Hears the two signals while it is entered; outside, and in other threads, nothing changes.

    A terminal's Ctrl-C reaches a process under torchrun twice, from the terminal and from its
    parent: what follows within a second is the same wish.

    Attributes:
        heard: The signal that asked to stop, or None.
    """

    WATCHED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.heard: signal.Signals | None = None
        self._since = 0.0
        self._held = self._again = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._hear) for s in self.WATCHED}
        return self

    def __exit__(self, *exception: object) -> None:
        for watched, handler in self._before.items():
            signal.signal(watched, handler)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.heard is None:
            self.heard, self._since = signal.Signals(number), now
        elif now - self._since > 1:
            if not self._held:
                raise KeyboardInterrupt
            self._again = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what is inside come to its end before a second signal stops the process."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._again:
            raise KeyboardInterrupt
