"""Reports of a session: events with the latest figures, and the run's history."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from charlstm.events import Event, Stepped
from charlstm.model.checkpoints import LogEntry, best_val_bits_per_char

REPORT_SECONDS: Final = 3.0

# Carried from event to event, so that each record has all of them.
_FIGURES: Final = (
    "step",
    "epoch",
    "elapsed_seconds",
    "chars_per_second",
    "train_bits_per_char",
    "val_bits_per_char",
    "learning_rate",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """An event, and what the event log and `--json` get for it.

    Args:
        record: the event's fields, the latest figures, and what was found out about it.
        is_logged: gradient steps are many: one every few seconds is enough for a log.
    """

    event: Event
    record: dict[str, Any]
    is_logged: bool


def status(report: Report) -> str:
    """A gradient step in a few words, for a bar or a log."""
    event, val = report.event, report.record["val_bits_per_char"]
    assert isinstance(event, Stepped)
    return (
        f"{event.chars_per_second / 1000:.1f}k chars/s, {duration(event.seconds_left)} left, "
        f"train {event.train_bits_per_char:.3f}, val {'-' if val is None else f'{val:.3f}'}"
    )


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Journal:
    """Makes reports of events.

    Args:
        history: of earlier sessions.
    """

    def __init__(self, history: Iterable[LogEntry]) -> None:
        self.history = list(history)
        self._latest: dict[str, Any] = dict.fromkeys(_FIGURES)
        self._reported_at = time.monotonic()
        self._was_skipping = False

    def report(self, kind: str, event: Event, **extra: Any) -> Report:
        """Make the report of an event; of gradient steps one every few seconds is logged."""
        values = asdict(event)
        self._latest.update({name: values[name] for name in _FIGURES if name in values})
        return Report(
            event=event,
            record={"event": kind, **self._latest, **values, **extra},
            is_logged=not isinstance(event, Stepped) or self._is_due(event),
        )

    def finished_before(self, *, step: int, best_epoch: float) -> dict[str, Any]:
        """The record of a run that was finished in an earlier session."""
        latest = self.history[-1] if self.history else {}
        return {
            "event": "finished",
            **{name: latest.get(name) for name in _FIGURES},
            "step": step,
            "best_val_bits_per_char": best_val_bits_per_char(self.history),
            "best_epoch": best_epoch,
            "was_interrupted": False,
            "stopped_early": False,
        }

    def _is_due(self, event: Stepped) -> bool:
        now = time.monotonic()
        is_due = now - self._reported_at >= REPORT_SECONDS
        if event.was_skipped and not self._was_skipping:
            is_due = True  # said once, not at each of a row
        is_due |= event.chose_threads
        self._was_skipping = event.was_skipped
        if is_due:
            self._reported_at = now
        return is_due
