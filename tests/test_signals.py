"""Laws of stopping: the first signal ends the step and saves, the second stops at once."""

import os
import signal
import threading

import pytest

from pyro_dcign.training import signals
from pyro_dcign.training.signals import Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_only_heard(number) -> None:
    with Signals() as heard:
        assert heard.heard is None
        os.kill(os.getpid(), number)
        assert heard.heard == number


def test_signals_within_a_second_are_one_wish(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with Signals() as heard:
        os.kill(os.getpid(), signal.SIGINT)
        now[0] += 0.9
        os.kill(os.getpid(), signal.SIGTERM)
        assert heard.heard == signal.SIGINT
        now[0] += 0.2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_second_signal_waits_for_what_is_held(monkeypatch) -> None:
    now = iter([100.0, 200.0])
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(now))
    done = []

    def save(heard):
        with heard.held():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("saved")

    with Signals() as heard, pytest.raises(KeyboardInterrupt):
        save(heard)
    assert done == ["saved"]


def test_afterwards_and_in_other_threads_signals_are_as_before() -> None:
    before = [signal.getsignal(s) for s in Signals.WATCHED]
    found = []

    def elsewhere():
        with Signals():
            found.append([signal.getsignal(s) for s in Signals.WATCHED])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with Signals():
        assert [signal.getsignal(s) for s in Signals.WATCHED] != before
    assert [*found, [signal.getsignal(s) for s in Signals.WATCHED]] == [before, before]
