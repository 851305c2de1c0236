"""`charlstm train` as a function, with the same options, runs and errors."""

import copy
import inspect
import textwrap
import threading
import time
import typing
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from charlstm.api.loading import PathLike, open_model, open_store
from charlstm.api.model import Model
from charlstm.config import IN_MEMORY
from charlstm.errors import ConfigError
from charlstm.settings import (
    ReadingSettings,
    RunSettings,
    TrainOptions,
    TrainSettings,
    options_of,
    require_path,
    settings_from,
)
from charlstm.system.interrupts import import_torch, stopping_on_interrupt
from charlstm.system.spinning import limit_spinning
from charlstm.system.terminal import escape_line

if TYPE_CHECKING:
    from charlstm.run.session import Session

OnReport = Callable[[dict[str, Any]], object]

_SETTINGS = (TrainSettings, RunSettings, ReadingSettings)


def train(
    *corpus: str | Path,
    text: str | None = None,
    documents: Iterable[str] | None = None,
    checkpoints: PathLike | None = None,
    progress: bool = True,
    on_report: OnReport | None = None,
    **options: Unpack[TrainOptions],
) -> Model:
    """Train a model, keep it as a run in the store, and return it.

    An interrupt (Ctrl-C or a notebook's stop button) saves the run and returns the model so far; a
    second one raises `KeyboardInterrupt`. The options are those of `charlstm train`; None, the
    default, lets charlstm choose.

    >>> model = charlstm.train("names.txt", split_documents="lines", steps=2, progress=False)
    >>> model = charlstm.train(documents=["anna", "otto"] * 999, steps=2, progress=False)

    Args:
        corpus: files or folders; Python's own documentation if none are given.
        text: a text in memory, instead of files.
        documents: texts in memory, instead of files, each with its own beginning and end. If none
            contains a line break, they form a list, like a file with `split_documents="lines"`.
        checkpoints: folder of runs; see `load`.
        progress: whether to show a progress bar, in a terminal or a notebook.
        on_report: called with each record that `charlstm train --json` prints: started, stepped
            (every few seconds), evaluated, saved, finished.
        {settings}

    Raises:
        CharLSTMError: if the text or the settings are invalid, or nothing can be saved.
    """
    started_at = time.monotonic()
    names = {name for kind in _SETTINGS for name in options_of(kind)}
    if unknown := sorted(options.keys() - names):
        raise TypeError(f"train() got an unexpected keyword argument {unknown[0]!r}")
    reading = settings_from(ReadingSettings, options)
    run = settings_from(RunSettings, options)
    if on_report is not None and not callable(on_report):
        raise ConfigError(f"on_report: must be callable, not {on_report!r}")
    store = open_store(checkpoints)
    paths = tuple(require_path("a file of the corpus", path) for path in corpus)
    texts, is_list = _texts(corpus, text, documents, reading)
    if run.resume and texts is not None:
        raise ConfigError("resume: a resumed run has its own text; drop text and documents")
    if is_list:
        reading = replace(reading, split_documents="lines")
    limit_spinning()
    import_torch(is_shown=False)
    from charlstm.run.preparation import Request
    from charlstm.run.session import open_session

    request = Request(
        paths=paths if texts is None else (IN_MEMORY,),
        texts=texts or (),
        reading=reading,
        settings=settings_from(TrainSettings, options),
        run=run,
    )
    with open_session(store, request, started_at=started_at) as session:
        for notice in session.notices:
            warnings.warn(escape_line(notice), stacklevel=2)
        if not session.is_finished:
            # Only the main thread can handle signals.
            is_main_thread = threading.current_thread() is threading.main_thread()
            stopping = stopping_on_interrupt(session.stop) if is_main_thread else nullcontext()
            with stopping:
                _run(session, on_report, with_bar=progress)
        name = session.name
    return open_model(name, checkpoints=store.root)


def _describe(function: Callable[..., Model]) -> None:
    """Add the declared settings to the signature and docstring of `train`."""
    signature = inspect.signature(function)
    hints = typing.get_type_hints(TrainOptions)
    options = [option for kind in _SETTINGS for option in options_of(kind).values()]
    fixed = list(signature.parameters.values())[:-1]
    declared = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=hints[option.name],
        )
        for option in options
    ]
    function.__signature__ = signature.replace(parameters=[*fixed, *declared])  # type: ignore[attr-defined]
    lines = [
        textwrap.fill(
            f"{option.name}: {option.summary}",
            width=92,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
        )
        for option in options
    ]
    # Python 3.13 removes the indentation by itself.
    docstring = inspect.cleandoc(function.__doc__ or "")
    function.__doc__ = docstring.replace("    {settings}", "\n".join(lines))


_describe(train)


def _run(session: "Session", on_report: OnReport | None, *, with_bar: bool) -> None:
    from charlstm.events import Stepped
    from charlstm.run.log import status
    from charlstm.system.progress import move, progress_bar

    with progress_bar(is_shown=with_bar, leave=True) as bar:
        for report in session.run():
            if isinstance(report.event, Stepped):
                move(bar, report.event.progress, status(report))
            if on_report is not None and report.is_due:
                # A copy, so that callers can't change the run's history.
                on_report(copy.deepcopy(report.record))
        bar.update(1.0 - bar.n)


def _texts(
    corpus: tuple[str | Path, ...],
    text: str | None,
    documents: Iterable[str] | None,
    reading: ReadingSettings,
) -> tuple[tuple[str, ...] | None, bool]:
    """Return the texts in memory (None for files), and whether they form a list.

    A list is joined into one text, with one item per line.

    Raises:
        ConfigError: if more than one kind of text is given, or documents are invalid.
    """
    given = {"files": corpus or None, "text": text, "documents": documents}
    kinds = [name for name, value in given.items() if value is not None]
    if len(kinds) > 1:
        raise ConfigError(f"give {' or '.join(kinds)}, not both")
    if documents is None:
        return None if text is None else (text,), False
    if isinstance(documents, str | bytes):
        raise ConfigError("documents: is a single string; use text=, or give a list of strings")
    if reading.split_documents is not None or reading.column is not None:
        raise ConfigError("documents: are already split; drop split_documents and column")
    texts = tuple(documents)
    for document in texts:
        if not isinstance(document, str):
            raise ConfigError(f"documents: must be strings, not {document!r}")
    if any("\n" in document or "\r" in document for document in texts):
        return texts, False
    return ("".join(f"{document}\n" for document in texts),), True
