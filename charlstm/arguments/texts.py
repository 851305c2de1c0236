"""Texts that commands read: files, stdin, splits of a corpus; overlap with training text."""

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from charlstm.config import STDIN, ReadingConfig, SplitName
from charlstm.errors import CorpusError, EncodingError
from charlstm.system import run_files
from charlstm.system.terminal import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from charlstm.api.model import Model
    from charlstm.text.corpus import Corpus, ReencodedText
    from charlstm.text.encoded_text import EncodedText

# Warn above this fraction; quotations and boilerplate stay below it.
_MIN_WARNED_OVERLAP: Final = 0.1


def require_texts(paths: Iterable[str], store: Path | None = None) -> None:
    """Check that files exist, and prompt for the text if stdin is a terminal.

    Args:
        store: folder of runs, to recognize a run's name given as a file.

    Raises:
        CorpusError: if a file is missing; suggests an alternative.
    """
    paths = list(paths)
    for path in paths:
        if path not in (STDIN, "") and not os.path.lexists(path):
            raise CorpusError(_missing_text(path, store))
    if STDIN in paths and sys.stdin is not None and sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"
        say(f"type the text; end with {end} on an empty line")


def _missing_text(path: str, store: Path | None) -> str:
    if re.match(r"https?://", path):
        return f"{path}: is a URL, not a file; pipe its text: curl -s {path} | charlstm ... -"
    if store is not None:
        from charlstm.run.store import CheckpointStore

        if path in (run_files.EXAMPLE, *CheckpointStore(store).run_names()):
            return f"{path}: is a run, not a file; use --run {path}"
    folder, name = os.path.split(path)
    names: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        names = os.listdir(folder or ".")
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {os.path.join(folder, close[0])}?" if close else ""
    return f"{path}: can't be read: No such file or directory{hint}"


def read_text(path: str, model: "Model") -> str:
    """Read a file or stdin as the model's corpus was read; drop the final newline.

    Raises:
        CorpusError: if it can't be read or decoded.
    """
    require_texts([path])
    text = "".join(pieces_of(path, model.checkpoint.spec.corpus))
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def pieces_of(path: str, corpus: ReadingConfig, errors: str = "strict") -> Iterator[str]:
    """Yield a file or stdin piece by piece, read with the corpus's settings, then print notices.

    Args:
        errors: Python's decoding error handler.

    Raises:
        CorpusError: if it can't be read or decoded.
    """
    from charlstm.reading.source import FileSource

    source = FileSource(path, corpus, errors)
    try:
        with _encoding_advice():
            yield from source.pieces()
    finally:
        source.close()
    for notice in source.notices:
        say(notice)


def apply_unknown_option(model: "Model", text: str, unknown: str) -> str:
    """Apply --unknown to characters outside the vocabulary: drop (`skip`) or reject (`error`) them.

    Raises:
        CorpusError: if they are rejected.
    """
    if unknown == "skip":
        return model.tokenizer.without_unknown(text)
    try:
        model.tokenizer.require_known(text)
    except CorpusError as error:
        raise CorpusError(f"{error}; --unknown skip drops them") from error
    return text


def given_text(model: "Model", text: str, unknown: str) -> str:
    """Return a text of the command line, - from stdin, in the model's normalized characters.

    Raises:
        CorpusError: if it can't be read, or contains characters that --unknown rejects.
    """
    symbols = read_text(STDIN, model) if text == STDIN else model.tokenizer.to_chars(text, say)
    return apply_unknown_option(model, symbols, unknown)


@contextlib.contextmanager
def _encoding_advice() -> Iterator[None]:
    """Replace the advice in encoding errors: a trained model's --encoding is fixed."""
    try:
        yield
    except EncodingError as error:
        raise CorpusError(f"{error.what}, the encoding of the model's text; convert it") from error


def read_files(files: list[str], model: "Model", errors: str = "strict") -> "ReencodedText":
    """Read and encode files as the model's corpus was; `errors` is Python's decoding handler."""
    from charlstm.text.corpus import encode_files

    with _encoding_advice():
        other = encode_files(files, model.checkpoint.spec.corpus, model.tokenizer, errors)
    for notice in other.notices:
        say(notice)
    return other


@dataclass(frozen=True, kw_only=True)
class ScoredText:
    """The text to score.

    Args:
        name: the split's name or the files' names.
        split: the split of the model's own corpus; None for files.
        repeated: documents that also occur in the training text and are scored separately.
        is_repeated_D: which documents of `text` occur in the training text; None if unavailable.
        train: the training text; None if unavailable, or if it is the text to score.
        with_ngrams: whether to score other predictors; not for the training split, which they
            were fitted on.
    """

    name: str
    split: SplitName | None
    text: "EncodedText"
    repeated: "EncodedText | None" = None
    is_repeated_D: "npt.NDArray[np.bool_] | None" = None
    train: "EncodedText | None" = None
    with_ngrams: bool = True

    @property
    def num_chars(self) -> int:
        return self.text.num_chars + (0 if self.repeated is None else self.repeated.num_chars)


def scored_text(model: "Model", files: list[str], split: SplitName | None) -> ScoredText:
    """Return the text of files, or a split of the model's own corpus.

    Raises:
        CorpusError: if it can't be read or is empty.
    """
    if files:
        chosen, text = None, read_files(files, model).split
        corpus = None
        try:
            corpus = model.corpus()
        except CorpusError as error:
            say(f"no baselines, because the training text is unavailable: {error}")
    else:
        corpus = model.corpus()
        chosen, text = _chosen_split(split, corpus)
    if not text.num_chars:
        raise CorpusError("the text to score is empty")
    name = chosen or ", ".join(files)
    if chosen == "train":
        say("no baselines for the training split, which they were fitted on")
        return ScoredText(name=name, split=chosen, text=text, with_ngrams=False)
    if corpus is None:
        return ScoredText(name=name, split=chosen, text=text)
    scored = ScoredText(name=name, split=chosen, text=text, train=corpus.train)
    is_repeated_D = None
    if _has_many_documents(corpus):
        is_repeated_D = _repeated(text, corpus, consequence=" and are scored separately")
    elif files:
        _warn_of_repeated(model, text, corpus)
    if is_repeated_D is None or is_repeated_D.all() or not is_repeated_D.any():
        return replace(scored, is_repeated_D=is_repeated_D)
    return replace(
        scored,
        text=text.documents(~is_repeated_D),
        repeated=text.documents(is_repeated_D),
        is_repeated_D=is_repeated_D[~is_repeated_D],
    )


def encode_for_both(
    model: "Model", other: "Model", files: list[str], split: SplitName | None
) -> "tuple[SplitName | None, EncodedText, EncodedText]":
    """Return a split's name (None for files), and one text as encoded by each of two models.

    Documents of a split that also occur in the training text are excluded.

    Raises:
        CorpusError: if the models read texts differently, or have different corpora.
    """
    from charlstm.evaluation.difference import require_same_reading

    names = (model.name, other.name)
    specs = (model.checkpoint.spec, other.checkpoint.spec)
    require_same_reading(*specs, names=names, of_files=bool(files))
    if files:
        read = read_files(files, model)
        symbols = read.original(0, read.split.num_chars)
        other_text = replace(read.split, ids=other.tokenizer.encode(symbols))
        for each, text in ((model, read.split), (other, other_text)):
            _say_repeated(each, text)
        return None, read.split, other_text
    own, others = (spec.fingerprint for spec in specs)
    if own != others:
        raise CorpusError(
            f"{model.name} and {other.name}: have different texts or splits (fingerprints "
            f"{own[:12]} and {others[:12]}); give a FILE to compare them on"
        )
    corpus = model.corpus()
    name, text = _chosen_split(split, corpus)
    # With a different --min-count its ids differ.
    other_text = getattr(other.corpus(), name)
    if name != "train" and _has_many_documents(corpus):
        is_repeated_D = _repeated(text, corpus, consequence=" and are excluded")
        if not is_repeated_D.all():
            text, other_text = text.documents(~is_repeated_D), other_text.documents(~is_repeated_D)
    return name, text, other_text


def _chosen_split(wanted: SplitName | None, corpus: "Corpus") -> "tuple[SplitName, EncodedText]":
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    if not corpus.val.num_chars:
        raise CorpusError(
            "the corpus has neither test nor validation text: give a FILE or --split train"
        )
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val


def _has_many_documents(corpus: "Corpus") -> bool:
    from charlstm.text.assignment import MIN_DOCUMENTS

    return len(corpus.train.starts) >= MIN_DOCUMENTS


def _repeated(
    text: "EncodedText", corpus: "Corpus", *, whose: str = "the", consequence: str = ""
) -> "npt.NDArray[np.bool_]":
    """Return which documents occur in a training text, and print their number."""
    from charlstm.text.duplicates import DocumentHashes

    is_repeated_D = DocumentHashes(corpus.train, corpus.tokenizer).have(text)
    if is_repeated_D.all():
        say(f"all documents are also in {whose} training text")
    elif number := int(is_repeated_D.sum()):
        say(
            f"{number:,} of {len(is_repeated_D):,} documents are also in {whose} training text"
            f"{consequence}"
        )
    return is_repeated_D


def _say_repeated(model: "Model", text: "EncodedText") -> None:
    """Print how much of a text is in a model's training text."""
    try:
        corpus = model.corpus()
    except CorpusError as error:
        say(f"overlap with {model.name}'s training text is not checked: {error}")
        return
    if corpus.tokenizer.documents_are_lines:
        _repeated(text, corpus, whose=f"{model.name}'s")
    else:
        _warn_of_repeated(model, text, corpus)


def _warn_of_repeated(model: "Model", text: "EncodedText", corpus: "Corpus") -> None:
    """Warn if much of a running text is training text."""
    from charlstm.text.duplicates import copied_fraction

    fraction = copied_fraction(text.ids, corpus.train.ids)
    if fraction > _MIN_WARNED_OVERLAP:
        say(f"warning: about {fraction:.0%} of the text is also in {model.name}'s training text")
