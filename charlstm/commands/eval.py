"""`charlstm eval`: how well a model predicts a text, by itself or against another model."""

import contextlib
import os
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from charlstm.commands.options import (
    CheckpointFile,
    Checkpoints,
    Device,
    Json,
    Run,
    Threads,
    advice_for_a_model,
    complete_run,
    invite_typing,
    is_given,
    load_model,
    one_of,
    open_outputs,
    print_record,
    say_warnings,
    say_written,
)
from charlstm.config import DEFAULT_STORE, STDIN, SplitName
from charlstm.errors import ConfigError, CorpusError
from charlstm.system.interrupts import import_torch
from charlstm.system.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from charlstm.api.model import Model
    from charlstm.evaluation.assessment import LearnedText
    from charlstm.evaluation.scores import DocumentScore, Original, Progress, Scores
    from charlstm.model.network import CharLSTM
    from charlstm.text.alphabet import Alphabet
    from charlstm.text.corpus import Corpus, OtherText
    from charlstm.text.duplicates import KnownDocuments
    from charlstm.text.split import Split

_NUM_EXTREMES: Final = 5
_OF_ONE_MODEL: Final = ("dynamic", "details", "per_char", "per_document", "plot")
# What of a corpus's settings the symbols of another text depend on.
_READING: Final = ("normalize", "keep_line_ends", "split_documents", "encoding")


EXAMPLES: Final = """\
charlstm eval                              # the newest run's test text
charlstm eval another.txt --json
charlstm eval --details --dynamic
charlstm eval --run large --against small  # two models on the same text"""


def evaluate(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Texts to score, - for stdin.  [default: a split]"),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option("--split", help="Which split of the run's corpus.  [default: test]"),
    ] = None,
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also score with dynamic evaluation: the model learns from what it scored. Slow.",
        ),
    ] = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Also show context length, kinds of characters, calibration, worst surprises.",
        ),
    ] = False,
    per_char: Annotated[
        Path | None,
        typer.Option("--per-char", metavar="FILE", help="Write each character's surprise, as TSV."),
    ] = None,
    per_document: Annotated[
        Path | None,
        typer.Option(
            "--per-document",
            metavar="FILE",
            help="Write each document's surprise, as TSV; - for stdout.",
        ),
    ] = None,
    with_duplicates: Annotated[
        bool,
        typer.Option(
            "--with-duplicates",
            help="Score documents of a list that are also in its training text.",
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="Compare with this run instead, on the same text.",
            autocompletion=complete_run,
        ),
    ] = None,
    against_checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--against-checkpoint",
            metavar="FILE",
            help="Compare with this checkpoint file instead.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw effect of context and calibration: .svg, .png, .pdf.",
        ),
    ] = None,
    threads: Threads = None,
    device: Device = "auto",
    run: Run = None,
    checkpoint: CheckpointFile = None,
    checkpoints: Checkpoints = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Score the test text of a run's corpus, or any other text."""
    files, split = one_of(context, "files", "split").values()
    if _is_comparison(context):
        _compare(context, files or [], split)
        return
    _check_outputs(per_char, per_document, plot, as_json=as_json)
    invite_typing(files or ())
    model = load_model(context)
    inputs = chain(model.sources(), files or [])
    outputs = open_outputs(per_char, per_document, plot, inputs=inputs)
    with outputs as (table, document_table, picture):
        chosen = _choose(model, files, split, with_duplicates=with_duplicates)
        name, text, learned = chosen.split, chosen.text, chosen.learned

        import_torch()
        from charlstm.evaluation.assessment import assess
        from charlstm.evaluation.baselines import has_ppmd
        from charlstm.training.hardware import resolve_device, set_threads
        from charlstm.views.bars import counting_bar
        from charlstm.views.evaluation import (
            as_record,
            show_assessment,
            show_documents,
            write_per_char,
            write_per_document,
        )

        set_threads(threads)
        network = model.network(resolve_device(device))
        if document_table is not None and str(per_document) == STDIN and table is picture is None:
            # Into a pipe there is no end to wait for.
            with counting_bar(text.num_chars, "scored") as progress:
                found = _documents_in_parts(network, chosen, model.alphabet, progress)
                write_per_document(document_table, found)
            return
        beside = None
        if name != "train":
            val = text if name == "val" else None
            beside = model.counts_beside(chosen.corpus, val=val, notify=say)
        if dynamic and not has_ppmd():
            say("without PPMd in comparison; to add it: pip install 'charlstm[ppmd]'")
        with counting_bar(text.num_chars * (1 + dynamic), "scored") as progress:
            assessment = assess(
                network,
                text,
                model.alphabet,
                learned=learned,
                beside=beside,
                with_dynamic=dynamic,
                progress=progress,
            )
        title = f"{model.name}: {name or ', '.join(files or [])}"
        if table is not None:
            write_per_char(table, assessment.scores, text, chosen.original)
        documents = _Documents(assessment.scores, chosen, model.alphabet)
        if document_table is not None:
            write_per_document(document_table, documents.all())
        if plot is not None and picture is not None:
            from charlstm.views.plots import plot_assessment, write_figure

            write_figure(plot_assessment(assessment, title=title), picture, plot)
    say_written(per_char, per_document, plot)
    if as_json:
        print_record(as_record(assessment, run=model.name, split=name, files=files or []))
    else:
        show_assessment(assessment, title=title, with_details=details)
        if per_document is not None or (details and len(text.starts) > 1):
            show_documents(*documents.extremes())


def _check_outputs(*paths: Path | None, as_json: bool) -> None:
    """Refuse what can't be written, before anything is read."""
    if [*map(str, paths), STDIN if as_json else ""].count(STDIN) > 1:
        raise ConfigError("stdout takes one of --json and the outputs that are named -")
    plot = paths[-1]
    if plot is not None:
        from charlstm.views.plots import require_plots

        require_plots(plot)


class _Documents:
    """The documents of a scored text."""

    def __init__(self, scores: "Scores", chosen: "_Chosen", alphabet: "Alphabet") -> None:
        self._nats_D = scores.nats_of_documents(chosen.text)
        self._scores, self._chosen, self._alphabet = scores, chosen, alphabet

    @cached_property
    def _scores_of(self) -> "Callable[..., Iterator[DocumentScore]]":
        from charlstm.evaluation.scores import document_scores

        chosen = self._chosen
        return partial(
            document_scores,
            self._scores,
            chosen.text,
            self._alphabet,
            original=chosen.original,
            is_known_D=None if chosen.known is None else chosen.known.have(chosen.text),
        )

    def all(self) -> "Iterator[DocumentScore]":
        import numpy as np

        return self._scores_of(numbers=np.arange(len(self._nats_D)))

    def extremes(self) -> "tuple[Iterator[DocumentScore], Iterator[DocumentScore]]":
        """The most and the least surprising."""
        order = self._nats_D.argsort(kind="stable")
        number = min(_NUM_EXTREMES, len(order) // 2)
        return (
            self._scores_of(numbers=order[::-1][:number]),
            self._scores_of(numbers=order[:number]),
        )


def _documents_in_parts(
    network: "CharLSTM", chosen: "_Chosen", alphabet: "Alphabet", progress: "Progress"
) -> "Iterator[DocumentScore]":
    """All documents of a text that may be longer than memory."""
    import numpy as np

    from charlstm.evaluation.scores import document_scores
    from charlstm.evaluation.scoring import score_in_parts

    known = chosen.known
    parts = score_in_parts(network, chosen.text, progress=progress)
    for num_documents, num_chars, part, scores in parts:

        def original(first: int, after: int, before: int = num_chars) -> str:
            return chosen.original(before + first, before + after)

        yield from document_scores(
            scores,
            part,
            alphabet,
            original=original,
            is_known_D=None if known is None else known.have(part),
            numbers=np.arange(len(part.starts)),
            num_before=num_documents,
        )


class _Chosen(NamedTuple):
    """The text to score.

    Args:
        split: its name, where it is a part of the model's own text.
        original: gives its symbols.
        corpus: that the model learned from; None where it isn't at hand.
        learned: what the baselines learn from; None for none.
        known: the documents of the training text; None where it isn't at hand or is scored itself.
    """

    split: SplitName | None
    text: "Split"
    original: "Original"
    corpus: "Corpus | None"
    learned: "LearnedText | None"
    known: "KnownDocuments | None"


def _choose(
    model: "Model", files: list[str] | None, split: SplitName | None, *, with_duplicates: bool
) -> _Chosen:
    from charlstm.evaluation.assessment import LearnedText
    from charlstm.text.duplicates import KnownDocuments

    corpus = _own_corpus(model, is_needed=not files)
    learned = known = None
    if corpus is not None:
        learned = LearnedText(train=corpus.train, val=corpus.val)
        known = KnownDocuments(corpus.train, corpus.alphabet)
    if files:
        other = _read_files(files, model)
        _warn_of_own(files, [model])
        if known is not None and model.alphabet.are_lines:
            _say_known(other.split, known)
        chosen = _Chosen(None, other.split, other.original, corpus, learned, known)
    else:
        assert corpus is not None
        assert known is not None
        name, text = _chosen_split(split, corpus)
        if name == "train":
            say("no baselines for the training split, which they learned from")
            learned = known = None
        elif name == "val":
            # Nothing may be chosen on what is scored.
            learned = LearnedText(train=corpus.train, val=corpus.val.part(0, 0))
        if name != "train" and not with_duplicates:
            assert known is not None
            text = _documents(text, _new_documents(text, corpus, known))

        def original(first: int, after: int) -> str:
            return model.alphabet.decode(text.ids[first:after])

        chosen = _Chosen(name, text, original, corpus, learned, known)
    if not chosen.text.num_chars:
        raise CorpusError("there is no text to score")
    return chosen


def _read_files(files: list[str], model: "Model") -> "OtherText":
    from charlstm.text.corpus import encode_files

    with advice_for_a_model():
        other = encode_files(files, model.checkpoint.spec.corpus, model.alphabet.vocabulary)
    for notice in other.notices:
        say(notice)
    return other


def _own_corpus(model: "Model", *, is_needed: bool) -> "Corpus | None":
    """The corpus that the run was trained on; None where it can be done without."""
    try:
        return model.corpus()
    except CorpusError as error:
        if is_needed:
            raise
        say(f"no baselines without the training text: {error}")
        return None


def _say_known(text: "Split", known: "KnownDocuments") -> None:
    is_known_D = known.have(text)
    if num_known := int(is_known_D.sum()):
        say(f"{num_known:,} of {len(is_known_D):,} documents are also in the training text")


def _new_documents(
    text: "Split", corpus: "Corpus", known: "KnownDocuments"
) -> "npt.NDArray[np.bool_] | None":
    """Of a list, what doesn't stand in the training text, too; None for all."""
    from charlstm.text.assignment import MIN_DOCUMENTS

    if len(corpus.train.starts) < MIN_DOCUMENTS:
        return None
    is_known_D = known.have(text)
    num_known, num_all = int(is_known_D.sum()), len(is_known_D)
    if num_known == num_all:
        say("all of its documents are also in the training text")
    if not num_known or num_known == num_all:
        return None
    say(
        f"{num_known:,} of {num_all:,} documents are also in the training text and are left out; "
        "--with-duplicates scores them"
    )
    return ~is_known_D


def _documents(text: "Split", chosen_D: "npt.NDArray[np.bool_] | None") -> "Split":
    return text if chosen_D is None else text.documents(chosen_D)


def _chosen_split(wanted: SplitName | None, corpus: "Corpus") -> tuple[SplitName, "Split"]:
    if wanted is not None:
        return wanted, getattr(corpus, wanted)
    if corpus.test.num_chars:
        return "test", corpus.test
    say("the corpus has no test split: scoring the validation split")
    return "val", corpus.val


def _is_comparison(context: typer.Context) -> bool:
    """Whether another model is named, which excludes what is shown of a single one."""
    rivals = one_of(context, "against", "against_checkpoint")
    return any(
        all(is_given(one_of(context, rival, name)[rival]) for name in _OF_ONE_MODEL)
        for rival in rivals
    )


def _compare(context: typer.Context, files: list[str], split: SplitName | None) -> None:
    """Score the same text by two models, and show what lies between them."""
    from charlstm.api import open_model

    options = context.params
    invite_typing(files)
    model = load_model(context)
    named = one_of(context, "against", "against_checkpoint")
    other = open_model(
        named["against"],
        checkpoints=options["checkpoints"],
        checkpoint=named["against_checkpoint"],
    )
    say_warnings(other.notices)
    name = None
    if files:
        text, other_text = _same_files(files, model, other)
    else:
        name, text, other_text = _same_split(
            split, model, other, with_duplicates=options["with_duplicates"]
        )

    import_torch()
    import numpy as np

    from charlstm.evaluation.difference import compare
    from charlstm.evaluation.scoring import score
    from charlstm.training.hardware import resolve_device, set_threads
    from charlstm.views.bars import counting_bar
    from charlstm.views.evaluation import difference_record, show_difference

    set_threads(options["threads"])
    device = resolve_device(options["device"])
    with counting_bar(2 * text.num_chars, "scored") as progress:
        scores = score(model.network(device), text, progress=progress)
        other_scores = score(other.network(device), other_text, progress=progress)
    difference = compare(
        scores, other_scores, text, other_text, model.alphabet, generator=np.random.default_rng(0)
    )
    if options["as_json"]:
        record = {"run": model.name, "against": other.name, "split": name, "files": files}
        print_record(record | difference_record(difference))
    else:
        show_difference(difference, model.name, other.name, title=name or ", ".join(files))


def _same_split(
    split: SplitName | None, model: "Model", other: "Model", *, with_duplicates: bool
) -> "tuple[SplitName, Split, Split]":
    """A split of the text that both models learned from, as each of them encodes it."""
    from charlstm.text.duplicates import KnownDocuments

    _require_same(model, other, ("level",))
    own, others = model.checkpoint.spec.fingerprint, other.checkpoint.spec.fingerprint
    if own != others:
        raise CorpusError(
            f"{model.name} and {other.name} have different texts or splits (fingerprints "
            f"{own[:12]} and {others[:12]}); name a FILE to compare them on"
        )
    corpus = model.corpus()
    name, text = _chosen_split(split, corpus)
    # With another --min-count it is encoded in another way.
    other_text: Split = getattr(other.corpus(), name)
    if name != "train" and not with_duplicates:
        is_new_D = _new_documents(text, corpus, KnownDocuments(corpus.train, corpus.alphabet))
        text, other_text = _documents(text, is_new_D), _documents(other_text, is_new_D)
    return name, text, other_text


def _same_files(files: list[str], model: "Model", other: "Model") -> "tuple[Split, Split]":
    """Any text, as each of two models encodes it."""
    from dataclasses import replace

    _require_same(model, other, ("level", *_READING))
    read = _read_files(files, model)
    symbols = read.original(0, read.split.num_chars)
    other_text = replace(read.split, ids=other.alphabet.encode(symbols))
    if model.alphabet.are_lines:
        for one, text in ((model, read.split), (other, other_text)):
            _say_overlap(one, text)
    else:
        _say_read(files, (model, other))
    return read.split, other_text


def _require_same(model: "Model", other: "Model", settings: Sequence[str]) -> None:
    """Refuse models whose characters are not the same.

    Raises:
        CorpusError: naming the setting in which they differ.
    """
    from charlstm.text.vocabulary import END

    corpora = [one.checkpoint.spec.corpus for one in (model, other)]
    for name in settings:
        own, others = (getattr(corpus, name) for corpus in corpora)
        if own != others:
            option = f"--{name.replace('_', '-')}"
            raise CorpusError(
                f"{model.name} and {other.name} read texts in different ways ({option}: {own} and "
                f"{others}), so their costs per character can't be compared"
            )
    if (
        len(settings) > 1
        and len({END in one.alphabet.vocabulary.characters for one in (model, other)}) > 1
    ):
        raise CorpusError(
            f"one of {model.name} and {other.name} learned where files end, the other didn't: they "
            "read another text in different ways"
        )


def _say_overlap(model: "Model", text: "Split") -> None:
    """Say which documents of a list a model has learned from."""
    from charlstm.text.duplicates import KnownDocuments

    try:
        corpus = model.corpus()
    except CorpusError as error:
        say(f"{model.name}: whether it learned from this text is not checked: {error}")
        return
    if num_known := int(KnownDocuments(corpus.train, corpus.alphabet).have(text).sum()):
        say(
            f"{model.name}: {num_known:,} of {len(text.starts):,} documents are also in its "
            "training text"
        )


def _say_read(files: list[str], models: "Sequence[Model]") -> None:
    """Say which models learned from one of these files by name, and that no more is checked."""
    _warn_of_own(files, models)
    say("whether other texts hold parts of this one, and were learned from, is not checked")


def _warn_of_own(files: list[str], models: "Sequence[Model]") -> None:
    """Say which models learned from one of these files, by its name."""
    from charlstm.text.filelist import FileList

    for model in models:
        learned: set[str] = set()
        with contextlib.suppress(CorpusError):
            learned.update(map(os.path.realpath, FileList.of(model.checkpoint.spec.corpus).main))
        for path in files:
            if os.path.realpath(path) in learned:
                say(f"warning: {path} is of the text that {model.name} learned from")
