"""Signal handling: requests to stop at the next safe point."""

import contextlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from charlstm.errors import ConfigError
from charlstm.system.terminal import waiting

_INTERRUPTED: Final = 130


class StopSignals:
    """Handler for SIGINT, SIGTERM and SIGHUP; created by `stop_signals`.

    Signals initially raise an exception, so that context managers clean up; after `hold`, they are
    only recorded; after `forward`, they call a function.

    Attributes:
        received: number of the first signal received, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._num_interrupts = 0
        self._stop: Callable[[], None] | None = None

    def hold(self) -> None:
        """Only record signals from now on: third-party code might swallow an exception."""
        self._stop = lambda: None

    def forward(self, stop: Callable[[], None]) -> None:
        """Call `stop` for signals from now on; at once, if a signal was recorded."""
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
    """Handle SIGINT, SIGTERM and SIGHUP; a second SIGINT ends the process immediately.

    Signals that the parent process ignores (nohup) stay ignored.
    """
    signals = StopSignals()
    old_handlers = {}
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            old_handlers[number] = signal.signal(number, signals.handle)
    try:
        yield signals
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stopping_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function on the first Ctrl-C; a second one raises KeyboardInterrupt."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, old_handler)
        stop()

    old_handler = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old_handler)


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Defer SIGINT, SIGTERM and SIGHUP until the block ends; a second SIGINT exits immediately."""
    with stop_signals() as signals:
        signals.hold()
        yield
    if signals.received is not None:
        signal.raise_signal(signals.received)


def import_torch(*, is_shown: bool = True) -> None:
    """Import torch; in the main thread, signals are deferred meanwhile.

    During its import, torch calls Python from C++, where a signal's exception would abort the
    process.

    Args:
        is_shown: whether to show a message on a terminal.

    Raises:
        ConfigError: if torch isn't installed.
    """
    if sys.modules.get("torch") is not None:
        return
    is_main_thread = threading.current_thread() is threading.main_thread()
    with (
        waiting("loading PyTorch", is_shown=is_shown),
        defer_signals() if is_main_thread else contextlib.nullcontext(),
    ):
        try:
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            raise ConfigError("this needs PyTorch: pip install torch") from error


def has_torch() -> bool:
    """Return whether torch is installed; sampling, predicting and scoring don't need it."""
    return importlib.util.find_spec("torch") is not None


def _numbers() -> list[signal.Signals]:
    # SIGHUP doesn't exist on Windows.
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
