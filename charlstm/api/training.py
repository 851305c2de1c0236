"""`charlstm train` as a function: the same options, runs and errors, and a model in the end."""

import copy
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charlstm.api.loading import open_model
from charlstm.api.model import Model
from charlstm.config import (
    DEFAULT_STORE,
    IN_MEMORY,
    Cell,
    Level,
    Normalize,
    SplitBy,
)
from charlstm.errors import ConfigError
from charlstm.system.interrupts import import_torch, stopping_on_interrupt
from charlstm.system.terminal import escape_line
from charlstm.system.waiting import calm_waiting_threads
from charlstm.text.documents import document_rule

if TYPE_CHECKING:
    from charlstm.sessions.journal import Report
    from charlstm.sessions.session import Session

# What of the options says how a text is read.
_READING: Final = (
    "val_fraction", "test_fraction", "val", "test", "encoding", "keep_line_ends", "level",
    "min_count", "include", "split_documents", "split_by", "normalize",
)  # fmt: skip

OnReport = Callable[[dict[str, Any]], object]


def train(
    *corpus: str | Path,
    text: str | None = None,
    documents: Iterable[str] | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    run: str | None = None,
    resume: bool = False,
    parent: str | None = None,
    checkpoints: str | Path = DEFAULT_STORE,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    val: str | Path | None = None,
    test: str | Path | None = None,
    encoding: str | None = None,
    keep_line_ends: bool | None = None,
    level: Level | None = None,
    min_count: int | None = None,
    include: Iterable[str] | None = None,
    split_documents: str | None = None,
    split_by: SplitBy | None = None,
    normalize: Normalize | None = None,
    cache: bool = True,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    embedding_size: int | None = None,
    dropout: float | None = None,
    recurrent_dropout: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    seq_len: int | None = None,
    learning_rate: float | None = None,
    cell: Cell | None = None,
    seed: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    early_stop: bool | None = None,
    progress: bool = True,
    on_report: OnReport | None = None,
) -> Model:
    """Train a model on a text; its run is in the store like any other.

    An interrupt, or a notebook's stop button, saves the run and returns the model so far; a second
    one is a `KeyboardInterrupt`. What the options mean, and what is chosen where they are left
    out, is as with `charlstm train`.

    >>> model = charlstm.train("names.txt", split_documents="lines", steps=2, progress=False)
    >>> model = charlstm.train(documents=["anna", "otto"] * 999, steps=2, progress=False)

    Args:
        corpus: files or folders; none at all for Python's own documentation.
        text: a text in memory, instead of files.
        documents: texts in memory, each learned from its own beginning to its end, instead of
            files; where none has a line end, they are a list, as `split_documents="lines"` makes
            of a file.
        parent: the run whose weights to start from: `--from`.
        progress: whether to show a bar, in a terminal or a notebook.
        on_report: called with each report as `charlstm train --json` prints it: started, one of
            steps every few seconds, evaluated, saved, finished.

    Raises:
        CharLSTMError: when the text or the settings are impossible, or nothing can be saved.
    """
    started_at = time.monotonic()
    options = dict(locals())
    reading: dict[str, Any] = {name: options[name] for name in _READING}
    if include is not None:
        if isinstance(include, str):
            raise ConfigError("include is a single string: give a list of patterns")
        reading["include"] = tuple(include)
    if split_documents is not None:
        reading["split_documents"] = document_rule(split_documents)
    if on_report is not None and not callable(on_report):
        raise ConfigError(f"on_report must be a function, not {on_report!r}")
    reading |= {name: os.fspath(reading[name]) for name in ("val", "test") if reading[name]}
    texts = _texts(corpus, text, documents, reading)
    if resume and texts is not None:
        raise ConfigError("a run that is resumed has its text: leave text and documents out")
    if texts is not None:
        reading["paths"] = (IN_MEMORY,)
    elif corpus:
        reading["paths"] = tuple(map(os.fspath, corpus))
    options["stops_early"] = early_stop
    calm_waiting_threads()
    is_main_thread = threading.current_thread() is threading.main_thread()
    if is_main_thread:
        import_torch()
    from charlstm.sessions.preparation import Request
    from charlstm.sessions.session import open_session
    from charlstm.store.runs import CheckpointStore

    request = Request.of(options, reading=reading, texts=texts or ())
    with open_session(
        CheckpointStore(Path(checkpoints)), request, started_at=started_at
    ) as session:
        for notice in session.notices:
            warnings.warn(escape_line(notice), stacklevel=2)
        if not session.is_finished:
            # Signals can be handled in the main thread alone.
            stopping = stopping_on_interrupt(session.stop) if is_main_thread else nullcontext()
            with stopping:
                _run(session, on_report, with_bar=progress)
        name = session.name
    return open_model(name, checkpoints=checkpoints)


def _run(session: "Session", on_report: OnReport | None, *, with_bar: bool) -> None:
    with _bar(is_wanted=with_bar) as show:
        for report in session.run():
            show(report)
            if on_report is not None and report.is_logged:
                # Its own: what is done to it must not get into the run's history.
                on_report(copy.deepcopy(report.record))


@contextmanager
def _bar(*, is_wanted: bool) -> Iterator[Callable[["Report"], None]]:
    """A function that shows a report in a progress bar; it does nothing where none is wanted."""
    from charlstm.events import Stepped
    from charlstm.sessions.journal import BAR_FORMAT, status

    with warnings.catch_warnings():
        # That a notebook lacks ipywidgets: it gets a bar of text.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    with tqdm(total=1.0, bar_format=BAR_FORMAT, disable=not is_wanted) as bar:

        def show(report: "Report") -> None:
            if not isinstance(report.event, Stepped) or not report.is_logged:
                return
            bar.set_description_str(status(report), refresh=False)
            bar.update(report.event.progress - bar.n)

        yield show
        bar.update(1.0 - bar.n)


def _texts(
    corpus: tuple[str | Path, ...],
    text: str | None,
    documents: Iterable[str] | None,
    reading: dict[str, Any],
) -> tuple[str, ...] | None:
    """The texts in memory; None for files.

    Raises:
        ConfigError: when more than one kind is given.
    """
    given = {"files": corpus or None, "text": text, "documents": documents}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(f"give {' or '.join(named)}, not both")
    if documents is None:
        return None if text is None else (text,)
    if isinstance(documents, str | bytes):
        raise ConfigError("documents is a single string: say text=, or give a list of strings")
    if reading["split_documents"] is not None:
        raise ConfigError("documents are split already: leave split_documents out")
    found = tuple(documents)
    for one in found:
        if not isinstance(one, str):
            raise ConfigError(f"documents must be strings, not {one!r}")
    if any("\n" in one or "\r" in one for one in found):
        return found
    reading["split_documents"] = "lines"
    return ("".join(f"{one}\n" for one in found),)
