"""Signals that ask a program to end, turned into a request to stop at the next safe point."""

import contextlib
import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from charlstm.errors import ConfigError
from charlstm.system.terminal import waiting

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
    before = {}
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, signals.handle)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stopping_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first Ctrl-C; a second one raises KeyboardInterrupt, as usual."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Deliver SIGINT, SIGTERM and SIGHUP when the block has ended; a second SIGINT ends at once."""
    with stop_signals() as signals:
        signals.hold()
        yield
    if signals.received is not None:
        signal.raise_signal(signals.received)


def import_torch(*, is_shown: bool = True) -> None:
    """Import torch, signals held back where this is the main thread, which gets them.

    The exception that a signal raises would abort the process where torch, while it starts, calls
    Python from C++.

    Args:
        is_shown: whether a terminal says so meanwhile.

    Raises:
        ConfigError: when it isn't installed.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    with (
        waiting("loading PyTorch", is_shown=is_shown),
        held_back() if is_main_thread else contextlib.nullcontext(),
    ):
        try:
            import torch  # noqa: F401
        except ModuleNotFoundError as error:
            raise ConfigError("this needs PyTorch: pip install torch") from error


def has_torch() -> bool:
    """Whether torch is installed; sampling, predicting and scoring go without."""
    return importlib.util.find_spec("torch") is not None


def _numbers() -> list[signal.Signals]:
    # SIGHUP doesn't exist on Windows.
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _remember_only() -> None:
    pass
