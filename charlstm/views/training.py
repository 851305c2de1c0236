"""View of a running training: a progress bar in a terminal, else a line every few seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from charlstm.analysis.advice import overfits
from charlstm.events import Evaluated, Finished, SavingFailed, Started, Stepped, TrainerEvent
from charlstm.run.log import EventRecord, duration, status
from charlstm.run.session import Session
from charlstm.system import run_files
from charlstm.system.progress import move, progress_bar
from charlstm.system.terminal import escape, is_animated, say
from charlstm.text.visible import visible
from charlstm.views.tables import command_line, figure, print_pairs

# Line width of logs.
_PIPE_WIDTH: Final = 100


@contextmanager
def training_view(*, quiet: bool) -> Iterator[Callable[[EventRecord], None]]:
    """Yield a function that shows reports on stderr, with a progress bar on a terminal."""
    has_bar = is_animated(sys.stderr) and not quiet
    with progress_bar(is_shown=has_bar) as bar:

        def show(report: EventRecord) -> None:
            if isinstance(report.event, Stepped) and not quiet:
                if has_bar:
                    move(bar, report.event.progress, status(report))
                elif report.is_due:
                    say(f"{report.event.progress:4.0%} {status(report)}")
            width = Console(stderr=True).width if has_bar else _PIPE_WIDTH
            for line in _lines(report, width, quiet=quiet):
                if has_bar:
                    bar.write(line, file=sys.stderr)
                else:
                    say(line)

        yield show


def shell_command(name: str, folder: Path) -> str:
    """Return the command line for a command on the run in a folder."""
    return command_line([*name.split(), "--run", folder.name], folder.parent)


def watch_training(events: Iterator[TrainerEvent], name: str) -> Iterator[TrainerEvent]:
    """Pass on a training's events, with a progress bar on a terminal."""
    with progress_bar() as bar:
        for event in events:
            if isinstance(event, Stepped):
                bits = f"{event.train_bits_per_char:.3f} bits per character"
                move(bar, event.progress, f"{name}: {bits}")
            yield event


def show_plan(session: Session) -> None:
    """Print corpus, model, settings and budget to stderr."""
    corpus, spec = session.corpus, session.spec
    model, train = spec.model_config, spec.train_config
    num_documents = len(corpus.train.starts)
    documents = f" in {num_documents:,} documents" if num_documents > 1 else ""
    distinct = f"{model.num_characters:,} distinct"
    held_out = f"val {corpus.val.num_chars:,}, test {corpus.test.num_chars:,}"
    batches, seed = f"{train.batch_size} x {train.seq_len}", f"seed {train.seed}"
    threads = _threads(train.threads)
    for name, value in (
        ("run", f"{session.folder}"),
        ("corpus", f"{corpus.train.num_chars:,} characters{documents}, {distinct}; {held_out}"),
        ("model", f"{model}, {model.num_parameters:,} parameters"),
        ("training", f"{session.dropouts}"),
        ("", train.decays),
        ("", f"batches of {batches}, {train.precision} on {train.device}, {threads}, {seed}"),
        ("budget", str(spec.budget) + (f": {session.extent}" if session.extent else "")),
    ):
        say(f"{name:9}{value}")


def show_finished_before(session: Session) -> None:
    """Print to stderr that the run is already finished, and how to continue it."""
    budget = session.spec.budget
    say(f"run {session.name} is finished: it used its {budget}")
    more = f"{shell_command('train --resume', session.folder)} --{budget.unit} N"
    say(f"to continue, give a larger budget: {more}")


def show_finished(session: Session, event: Finished) -> None:
    """Print the run's result to stdout, with a suggested next command."""
    bits = event.best_val_bits_per_char
    at = f"epoch {event.best_epoch:.2f} of {event.epoch:.2f}"
    if event.stopped_early:
        at += "; stopped early because of overfitting"
    elif overfits(session.history):
        at += f"; overfitting: use fewer {session.spec.budget.unit} or more text"
    print_pairs(
        f"run {session.name}: trained",
        [
            ("best validation bits per character", figure(bits)),
            ("best validation perplexity", "-" if bits is None else f"{2 ** min(bits, 1e3):.4g}"),
            ("best at", at),
            ("time", duration(event.elapsed_seconds)),
            (
                "characters per second",
                f"{event.chars_per_second:,.0f}" if event.chars_per_second else "-",
            ),
            ("checkpoint", str(session.folder / run_files.BEST)),
            ("next", shell_command("sample", session.folder)),
        ],
    )


def _lines(report: EventRecord, width: int, *, quiet: bool) -> Iterator[str]:
    """Yield an event's lines; most events have none.

    Args:
        width: maximum line width in columns.
        quiet: whether to yield warnings only.
    """
    match report.event:
        case SavingFailed() as event:
            yield f"warning: {escape(event.reason)}"
        case Stepped() as event if event.was_skipped:
            if event.was_slowed:
                why, what = "gradient not finite", "learning rate halved"
            else:
                why, what = "float16 overflow", "loss scale halved"
            if report.is_due:
                yield f"step {event.step}: {why}, update skipped, {what}"
        case _ if quiet:
            pass
        case Evaluated() as event:
            bits = figure(event.val_bits_per_char)
            best = "best" if event.is_best else "    "
            found = f"val {bits} {best}" if event.val_bits_per_char is not None else "no val text"
            preview = visible(report.record["sample"], keep=" ")
            line = Text(f"epoch {event.epoch:6.2f}  {found}  {preview}")
            line.truncate(width, overflow="ellipsis")
            yield line.plain
        case Stepped() as event if event.chose_threads:
            yield f"continuing with {_threads(event.threads)}, now faster"
        case Started() as event if event.step:
            yield f"resumed at step {event.step:,}"


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"
