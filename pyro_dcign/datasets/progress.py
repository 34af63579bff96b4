"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import final

from tqdm import tqdm


@final
class Progress(AbstractContextManager["Progress"]):
    """Counts what is done, on stderr.

    Args:
        total: How much there is to do.
        title: What is done; the first plain line.
        unit: What is counted, in the plural.
        quiet: Show nothing.
    """

    def __init__(self, total: int, title: str, *, unit: str = "images", quiet: bool = False):
        self.total, self.unit, self.quiet = total, unit, quiet
        self.done = self.counted = 0
        self.began = time.monotonic()
        self._due = self.began + 1  # the first line soon, the next ones every ten seconds
        terminal = sys.stderr.isatty() and not quiet
        self._bar = tqdm(total=total, desc=title, unit=f" {unit}") if terminal else None
        if not terminal:
            self._line(title)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            self._line(f"{self.done} {self.unit} in {time.monotonic() - self.began:.0f} s")

    def add(self, n: int, *, free: bool = False) -> None:
        """Count ``n`` more; ``free`` ones were there already and do not count for the speed."""
        self.done += n
        self.counted += 0 if free else n
        if self._bar is not None:
            self._bar.update(n)
            return
        now = time.monotonic()
        if now >= self._due and self.counted:
            speed = self.counted / (now - self.began)
            left = (self.total - self.done) / speed
            self._line(
                f"{self.done} of {self.total} {self.unit}, {speed:.0f} a second, {left:.0f} s left"
            )
            self._due = now + 10

    def _line(self, text: str) -> None:
        if not self.quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
