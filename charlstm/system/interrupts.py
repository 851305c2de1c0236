"""Signals that ask a program to end, turned into a request to stop at the next safe point."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130


class StopSignals:
    """What came: the number of the first signal, None while none came."""

    received: int | None = None
    num_interrupts: int = 0


@contextlib.contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[StopSignals]:
    """Call `stop` on SIGINT, SIGTERM and SIGHUP; a second SIGINT ends the process at once.

    A signal that the parent had set to be ignored, as nohup does, stays ignored.
    """
    signals = StopSignals()

    def handle(number: int, _frame: FrameType | None) -> None:
        signals.num_interrupts += number == signal.SIGINT
        if signals.num_interrupts > 1:
            os._exit(_INTERRUPTED)
        signals.received = signals.received or number
        stop()

    # SIGHUP doesn't exist on Windows.
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    before = {}
    for number in numbers:
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
