"""How many epochs a run will have read at its end, from its pace so far.

What regularizes a run follows from it. A budget of steps or epochs makes it exact; by the clock
the pace changes, by a factor of 1.5 within seconds and of 3 when other programs start.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from charlstm.config import from_plain
from charlstm.settings import MAX_COUNT, require_real

# Of the budget: how long the pace of a moment is remembered.
_MEMORY: Final = 0.1


@dataclass(kw_only=True)
class Forecast:
    """The numbers that are stored for resuming.

    Attributes:
        progress: the part of the budget that was used at the latest step, 0 to 1.
        epoch: read by then.
        recent_epochs: of the latest steps, each one's weight decaying; `recent_progress` likewise.
    """

    progress: float = 0.0
    epoch: float = 0.0
    recent_epochs: float = 0.0
    recent_progress: float = 0.0

    def __post_init__(self) -> None:
        for name in ("progress", "epoch", "recent_epochs", "recent_progress"):
            require_real(name, getattr(self, name), 0.0, float(MAX_COUNT))

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers."""
        return asdict(self)

    def load_state_dict(self, state: Any) -> None:
        """Load what `state_dict` returned.

        Raises:
            ConfigError: when a number is missing or impossible.
        """
        for name, value in asdict(from_plain(Forecast, state)).items():
            setattr(self, name, value)

    def add(self, *, progress: float, epoch: float) -> None:
        """Take where a run stands after a step."""
        used = max(0.0, progress - self.progress)
        kept = math.exp(-used / _MEMORY)
        self.recent_progress = kept * self.recent_progress + used
        self.recent_epochs = kept * self.recent_epochs + max(0.0, epoch - self.epoch)
        self.progress, self.epoch = progress, epoch

    @property
    def epochs(self) -> float:
        """At the end of the run; before anything is known, none."""
        if not self.recent_progress:
            return self.epoch
        pace = self.recent_epochs / self.recent_progress
        return self.epoch + (1.0 - self.progress) * pace
