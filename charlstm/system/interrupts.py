"""Signals that ask a program to end, turned into a request to stop at the next safe point."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130


class StopSignals:
    """What SIGINT, SIGTERM and SIGHUP do; made by `stop_signals`.

    At first they end what is going on by an exception, so that everything is left as it was found;
    after `hold` they are only remembered; after `forward` they call a function.

    Attributes:
        received: the number of the first signal, None while none came.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._num_interrupts = 0
        self._stop: Callable[[], None] | None = None

    def hold(self) -> None:
        """From now on only remember: an exception could get lost in somebody else's code."""
        self._stop = _remember_only

    def forward(self, stop: Callable[[], None]) -> None:
        """From now on call `stop`; now, if a signal came while they were held."""
        self._stop = stop
        if self.received is not None:
            stop()

    def handle(self, number: int, _frame: FrameType | None) -> None:
        self._num_interrupts += number == signal.SIGINT
        if self._num_interrupts > 1:
            os._exit(_INTERRUPTED)
        self.received = self.received or number
        if self._stop is not None:
            self._stop()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Handle SIGINT, SIGTERM and SIGHUP; a second SIGINT ends the process at once.

    A signal that the parent had set to be ignored, as nohup does, stays ignored.
    """
    signals = StopSignals()
    # SIGHUP doesn't exist on Windows.
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    before = {}
    for number in numbers:
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, signals.handle)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remember_only() -> None:
    pass
