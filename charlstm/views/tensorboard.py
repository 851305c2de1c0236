"""TensorBoard curves of a training run, in a subfolder of the run."""

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from charlstm.errors import ConfigError
from charlstm.run.log import LoggedEvent
from charlstm.system import run_files
from charlstm.system.terminal import say

# Event -> metrics that it measured.
_STEP_METRICS: Final = ("train_bits_per_char", "learning_rate", "chars_per_second")
_CURVES: Final = {
    "started": (),
    "stepped": _STEP_METRICS,
    "evaluated": (*_STEP_METRICS, "val_bits_per_char"),
}


def require_tensorboard() -> None:
    """Raise ConfigError if TensorBoard is not installed."""
    try:
        import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise ConfigError("--tensorboard needs: pip install 'charlstm[tensorboard]'") from error


@contextlib.contextmanager
def open_board(folder: Path, *, wanted: bool, mode: int) -> Iterator[Callable[[LoggedEvent], None]]:
    """Yield a function that writes logged reports to TensorBoard; a no-op unless `wanted`.

    Args:
        mode: file mode of the run's files; private files make the subfolder private.
    """
    if not wanted:
        yield lambda _report: None
        return
    from torch.utils.tensorboard import SummaryWriter

    place = folder / run_files.TENSORBOARD
    place.mkdir(exist_ok=True)
    if not mode & 0o077:
        place.chmod(0o700)
    writer = SummaryWriter(place)
    is_broken = False

    def draw(report: LoggedEvent) -> None:
        nonlocal is_broken
        if is_broken or not report.is_logged or report.record["event"] not in _CURVES:
            return
        try:
            _draw(writer, report.record)
        except OSError as error:
            # Training continues without curves.
            say(f"warning: can't write TensorBoard's curves any more: {error.strerror}")
            is_broken = True

    try:
        yield draw
    finally:
        with contextlib.suppress(OSError):
            writer.close()


def _draw(writer: Any, record: dict[str, Any]) -> None:
    for name in _CURVES[record["event"]]:
        if record.get(name) is not None:
            writer.add_scalar(name, record[name], record["step"])
    for number, gates in enumerate(record.get("gates", [])):
        for gate, mean in gates.items():
            writer.add_scalar(f"gates/layer {number + 1} {gate}", mean, record["step"])
    if "sample" in record:
        writer.add_text("sample", record["sample"], record["step"])
