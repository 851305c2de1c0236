"""Run log: training events with the latest metrics, and the run's history."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from charlstm.events import Event, Stepped
from charlstm.model.checkpoints import LogEntry, best_val_bits_per_char

# Interval of logged gradient steps.
REPORT_SECONDS: Final = 3.0
# Fields of every log entry; an event without one gets the latest value.
_METRICS: Final = (
    "step",
    "epoch",
    "elapsed_seconds",
    "chars_per_second",
    "train_bits_per_char",
    "val_bits_per_char",
    "learning_rate",
)


@dataclass(frozen=True, kw_only=True)
class EventRecord:
    """An event with its log entry.

    Args:
        record: the entry for the event log and `--json`: the event's fields and latest metrics.
        is_due: whether to log it; of gradient steps, only one every few seconds is logged.
    """

    event: Event
    record: dict[str, Any]
    is_due: bool


def status(report: EventRecord) -> str:
    """Describe a gradient step in one line, for a progress bar or log."""
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


class RunLog:
    """The log of a run.

    Args:
        history: log entries of earlier sessions.
    """

    def __init__(self, history: Iterable[LogEntry]) -> None:
        self.history = list(history)
        self._latest: dict[str, Any] = dict.fromkeys(_METRICS)
        self._reported_at = time.monotonic()
        self._was_skipping = False

    def entry_for(self, kind: str, event: Event, **extra: Any) -> EventRecord:
        """Return an event with its log entry.

        Args:
            kind: the entry's `event` field.
            extra: further fields.
        """
        values = asdict(event)
        self._latest.update({name: values[name] for name in _METRICS if name in values})
        return EventRecord(
            event=event,
            record={"event": kind, **self._latest, **values, **extra},
            is_due=not isinstance(event, Stepped) or self._is_due(event),
        )

    def finished_before(self, *, step: int, best_epoch: float) -> dict[str, Any]:
        """Return the log entry of a run that was finished in an earlier session."""
        latest = self.history[-1] if self.history else {}
        return {
            "event": "finished",
            **{name: latest.get(name) for name in _METRICS},
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
            is_due = True  # log the first of consecutive skipped steps
        is_due |= event.chose_threads
        self._was_skipping = event.was_skipped
        if is_due:
            self._reported_at = now
        return is_due
