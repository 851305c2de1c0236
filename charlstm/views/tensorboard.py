"""A training run as curves for TensorBoard, in a folder of the run's own."""

import contextlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from charlstm.errors import ConfigError
from charlstm.run.log import Report
from charlstm.system import layout
from charlstm.system.terminal import say

# By event: what was measured with it, not what was known from before.
_OF_STEPS: Final = ("train_bits_per_char", "learning_rate", "chars_per_second")
_CURVES: Final = {
    "started": (),
    "stepped": _OF_STEPS,
    "evaluated": (*_OF_STEPS, "val_bits_per_char"),
}


class Board:
    """Draws the events that are logged.

    Args:
        writer: TensorBoard's; None draws nothing.
    """

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    def show(self, report: Report) -> None:
        record = report.record
        if self._writer is None or not report.is_logged or record["event"] not in _CURVES:
            return
        try:
            self._draw(record)
        except OSError as error:
            # Curves are a by-product: training continues without them.
            say(f"warning: TensorBoard's curves end here: {error.strerror}")
            self._writer = None

    def _draw(self, record: dict[str, Any]) -> None:
        for name in _CURVES[record["event"]]:
            if record.get(name) is not None:
                self._writer.add_scalar(name, record[name], record["step"])
        for number, gates in enumerate(record.get("gates", [])):
            for gate, mean in gates.items():
                self._writer.add_scalar(f"gates/layer {number + 1} {gate}", mean, record["step"])
        if "sample" in record:
            self._writer.add_text("sample", record["sample"], record["step"])


def require_tensorboard() -> None:
    """Refuse before the work begins.

    Raises:
        ConfigError: when TensorBoard is missing.
    """
    try:
        import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise ConfigError("--tensorboard needs: pip install 'charlstm[tensorboard]'") from error


@contextlib.contextmanager
def open_board(folder: Path, *, wanted: bool, mode: int) -> Iterator[Board]:
    """The board of a run; one that draws nothing unless it is wanted.

    Args:
        mode: of the run's files; where only its owner may read them, so with the board's folder.
    """
    if not wanted:
        yield Board()
        return
    from torch.utils.tensorboard import SummaryWriter

    place = folder / layout.TENSORBOARD
    place.mkdir(exist_ok=True)
    if not mode & 0o077:
        place.chmod(0o700)
    writer = SummaryWriter(place)
    try:
        yield Board(writer)
    finally:
        with contextlib.suppress(OSError):
            writer.close()
